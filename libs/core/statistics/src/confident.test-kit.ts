import { seededRandom } from "@tributary/kernel";

/** Of a model that is right on nine of ten, and of labels of which some are wrong. */
export function noisy(seed: number, wrong: number, items = 600, classes = 4) {
  const random = seededRandom(seed);
  const other = (label: number) => (label + 1 + Math.floor((classes - 1) * random())) % classes;
  const truths = Array.from({ length: items }, () => Math.floor(classes * random()));
  const isWrong = truths.map(() => random() < wrong);
  const labels = truths.map((truth, i) => (isWrong[i] ? other(truth) : truth));
  const probabilities = truths.map((truth) => {
    const answer = random() < 0.9 ? truth : other(truth);
    const own = 0.4 + 0.55 * random();
    const rest = Array.from({ length: classes }, () => random());
    const sum = rest.reduce((all, one, i) => all + (i === answer ? 0 : one), 0);
    return rest.map((one, i) => (i === answer ? own : ((1 - own) * one) / sum));
  });
  return { labels, probabilities, classes, isWrong };
}
