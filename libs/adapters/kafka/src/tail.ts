/** The name of a read without an end. Only follow.ts calls it (`npm run lint`): everything else that follows a topic uses
 * that. */
export const tail: unique symbol = Symbol("tail");
