// Gives every workspace package its nx targets, so that no package.json repeats them; nx.json has their inputs and outputs.
const { existsSync, readFileSync } = require("node:fs");
const { dirname } = require("node:path");

const targetsOf = (dir) => ({
  build: { command: `tsc -b ${dir}` },
  lint: { command: `biome ci --colors=off ${dir}` },
  test: { command: `node tools/test.mjs --file ${dir}` },
});

/** The stack starts these as processes, so that no package.json names them. */
const STARTED_BY_STACK = /^(services|edge)\/|^cli\//;
const nameOf = (file) => JSON.parse(readFileSync(file, "utf8")).name;

exports.createNodes = [
  "{libs,services,edge,cli,lab}/**/package.json",
  (files) =>
    files
      .map((file) => [file, dirname(file)])
      .filter(([, dir]) => existsSync(`${dir}/tsconfig.json`))
      .map(([file, dir]) => {
        const implicitDependencies =
          dir === "lab/stack" ? files.filter((other) => STARTED_BY_STACK.test(other)).map(nameOf) : [];
        return [file, { projects: { [dir]: { targets: targetsOf(dir), implicitDependencies } } }];
      }),
];
