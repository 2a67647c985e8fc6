export { packTask, writeFrames } from "./pack.ts";
export {
  frameOf,
  heldOutTasks,
  type LabelledPhoto,
  modelFiles,
  openTask,
  openTasks,
  type Photo,
  type Place,
  type Task,
  taskNames,
} from "./tasks.ts";
