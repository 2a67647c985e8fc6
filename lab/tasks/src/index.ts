export * from "./conditions/index.ts";
export { packEdge, packTask, writeFrames } from "./pack.ts";
export {
  frameOf,
  heldOutTasks,
  jpegOf,
  type LabelledPhoto,
  modelFiles,
  openTask,
  openTasks,
  type Photo,
  type Place,
  pictureOf,
  type Task,
  taskNames,
} from "./tasks.ts";
