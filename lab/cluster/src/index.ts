export { endNode, enter, type Node, startNode } from "./node/node.ts";
