/** The name of a read without an end. Only follow.ts calls it (`npm run lint`): whoever else wants to follow a topic uses that. */
export const tail: unique symbol = Symbol("tail");
