/**
 * Breaks a guarantee from outside: replaces one export of one module before the program imports it.
 *
 * `node --import lab/sabotage/NAME.mjs PROGRAM` runs NAME.mjs first, which calls `replaceExport`. From then on every import of
 * the module gets another module with the same exports, except that one. It applies to the program's main thread: its worker
 * threads and child processes run unchanged.
 */
import "@tributary/kernel/node-24"; // An older Node knows no such hooks, and hands over here.
import module from "node:module";
import { isMainThread } from "node:worker_threads";

const root = new URL("../../", import.meta.url);
/** By the URL of the module that has it in place of the original. */
export const replacements = new Map();

/**
 * Throws when the module, its export, or a method that the replacement overrides is not there: a control that breaks nothing
 * would prove nothing.
 *
 * @param {string} file of the repository, as built: `edge/bridge/dist/ingest.js`
 * @param {string} name of its export
 * @param {(original: any) => any} broken the replacement; for a class, a subclass of it
 */
export async function replaceExport(file, name, broken) {
  if (!isMainThread) return;
  const url = new URL(file, root).href;
  const original = (await import(url))[name];
  if (original === undefined) throw new Error(`sabotage: ${file} exports no ${name}`);
  const replacement = broken(original);
  for (const method of Object.getOwnPropertyNames(replacement.prototype ?? {})) {
    if (!(method in original.prototype)) throw new Error(`sabotage: ${name} of ${file} has no ${method}`);
  }
  const replacedUrl = `${url}?sabotaged`;
  replacements.set(replacedUrl, replacement);
  module.registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      return found.url === url && context.parentURL !== replacedUrl ? { ...found, url: replacedUrl } : found;
    },
    load(loaded, context, next) {
      if (loaded !== replacedUrl) return next(loaded, context);
      process.stderr.write(`sabotage: ${name} of ${file} is replaced\n`);
      const source = `
        import { replacements } from ${JSON.stringify(import.meta.url)};
        export * from ${JSON.stringify(url)};
        export const ${name} = replacements.get(${JSON.stringify(replacedUrl)});`;
      return { format: "module", source, shortCircuit: true };
    },
  });
}
