/**
 * The words that can follow on a command line, from the command tree itself, so that completion is always up to date.
 * A shell calls `tributary __complete -- WORDS`; the last word is the incomplete one.
 */
import type { Argument, Command, Option } from "commander";

export type Candidate = { readonly word: string; readonly about: string };

export function candidates(program: Command, words: readonly string[]): Candidate[] {
  const current = words.at(-1) ?? "";
  let command = program;
  let pending: Option | undefined;
  let given = 0;
  for (const word of words.slice(0, -1)) {
    if (pending !== undefined) pending = pending.variadic && !word.startsWith("-") ? pending : undefined;
    else if (word.startsWith("-")) {
      const option = word.includes("=") ? undefined : optionsOf(command).find(named(word));
      pending = option?.required === true ? option : undefined;
    } else {
      const inner = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
      if (inner === undefined) given++;
      else command = inner;
    }
  }
  const [, long = "", value = ""] = /^(--[^=]+)=(.*)$/.exec(current) ?? [];
  if (long !== "") {
    const option = optionsOf(command).find(named(long));
    return matching(wordsOf(option?.argChoices), value).map(({ word, about }) => ({ word: `${long}=${word}`, about }));
  }
  if (pending !== undefined) return matching(wordsOf(pending.argChoices), current);
  if (current.startsWith("-")) {
    const options = optionsOf(command).flatMap((option) =>
      [option.long, option.short].flatMap((word) => (word ? [{ word, about: option.description }] : [])),
    );
    return matching(options, current);
  }
  const inner = command.commands
    .filter((one) => !HIDDEN.has(one.name()))
    .map((one) => ({ word: one.name(), about: one.description() }));
  const argument: Argument | undefined = command.registeredArguments[given];
  return matching([...inner, ...wordsOf(argument?.argChoices)], current);
}

const HIDDEN = new Set(["__complete"]);

/** Its own, and those of the commands it is in. */
function optionsOf(command: Command): Option[] {
  const own = command.options.filter(({ hidden }) => !hidden);
  return command.parent === null ? own : [...own, ...optionsOf(command.parent)];
}

const named =
  (word: string) =>
  ({ long, short }: Option): boolean =>
    long === word || short === word;

const wordsOf = (choices: readonly string[] | undefined): Candidate[] =>
  (choices ?? []).map((word) => ({ word, about: "" }));

const matching = (all: readonly Candidate[], beginning: string): Candidate[] =>
  all.filter(({ word }) => word.startsWith(beginning));

/** Files, where no word of ours can follow. */
export const shells = {
  bash: `# bash completion for tributary: source <(tributary completion bash)
_tributary() {
  local IFS=$'\\n'
  COMPREPLY=($(tributary __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -o default -F _tributary tributary
`,
  zsh: `#compdef tributary
# zsh completion for tributary: source <(tributary completion zsh), or put it into a file _tributary on your fpath
_tributary() {
  local -a found
  found=("\${(@f)$(tributary __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null | sed 's/:/\\\\:/g' | tr '\\t' ':')}")
  if [[ -n "\${found[1]}" ]]; then _describe tributary found; else _files; fi
}
if [[ "\${funcstack[1]}" = _tributary ]]; then _tributary "$@"; else compdef _tributary tributary; fi
`,
  fish: `# fish completion for tributary: tributary completion fish | source
function __tributary_complete
  set -l words (commandline -opc)[2..-1] (commandline -ct)
  set -l found (tributary __complete -- $words 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c tributary -f -a '(__tributary_complete)'
`,
} as const;
export type Shell = keyof typeof shells;
