/** `bench tasks`: what the tasks of lab/tasks are, and how right their models are on what cameras see. */
import { openTasks } from "@tributary/tasks";
import { percent } from "@tributary/testing";
import type { Bench, BenchOptions, BenchReport, Gate } from "./bench.ts";
import type { JudgedPhoto } from "./routing/judged.ts";
import { answerOf, type TaskAnswers, taskAnswers } from "./tasks/answers.ts";

/** Above it, an edge model leaves nothing to route or to retrain; the cloud's must be better by something. */
const EDGE_MAX = 0.98;

export const tasks: Bench = {
  name: "tasks",
  summary: "the tasks of lab/tasks: photos, classes, licences, and accuracy and recalls of their models",
  details: `Both models of each task, packed with its validation photos, on all photos that cameras see.
Gates: an edge model is right on at most ${percent(EDGE_MAX)}, and the cloud's on more.`,
  run,
};

async function run({ flags, progress }: BenchOptions): Promise<BenchReport> {
  const answers: TaskAnswers[] = [];
  for (const task of await openTasks(flags.tasks ?? "all")) answers.push(await taskAnswers(task, progress));
  return {
    tables: [
      {
        title: "Tasks",
        columns: ["task", "what", "base", "validation", "seen", "licence"],
        rows: answers.map(({ task: { name, about, base, validation, seen, licence } }) => [
          name,
          about,
          base.length,
          validation.length,
          seen.length,
          licence,
        ]),
      },
      {
        title: "Accuracy on photos that cameras see",
        columns: ["task", "edge", "cloud", "recalls of the edge", "of the cloud"],
        rows: answers.map((one) => [
          one.task.name,
          percent(accuracyOf(one, "edge")),
          percent(accuracyOf(one, "cloud")),
          recallsOf(one, "edge"),
          recallsOf(one, "cloud"),
        ]),
      },
    ],
    gates: answers.map((one): Gate => {
      const [edge, cloud] = [accuracyOf(one, "edge"), accuracyOf(one, "cloud")];
      return {
        name: `${one.task.name}: the edge at most ${percent(EDGE_MAX)}, and below the cloud`,
        passed: edge <= EDGE_MAX && edge < cloud,
        measured: `${percent(edge)}, ${percent(cloud)}`,
      };
    }),
    figures: answers.map((one) => ({
      task: one.task.name,
      edge: { accuracy: accuracyOf(one, "edge"), recalls: recalls(one, "edge") },
      cloud: { accuracy: accuracyOf(one, "cloud"), recalls: recalls(one, "cloud") },
    })),
  };
}

type Role = "edge" | "cloud";

const shareRight = (photos: readonly JudgedPhoto[], role: Role): number =>
  photos.filter((photo) => answerOf(photo[role]) === photo.label).length / photos.length;

const accuracyOf = ({ seen }: TaskAnswers, role: Role): number => shareRight(seen, role);

const recalls = ({ task, seen }: TaskAnswers, role: Role): readonly number[] =>
  task.labels.map((_, label) =>
    shareRight(
      seen.filter((photo) => photo.label === label),
      role,
    ),
  );

const recallsOf = (one: TaskAnswers, role: Role): string =>
  recalls(one, role)
    .map((recall) => (100 * recall).toFixed(0))
    .join(" ");
