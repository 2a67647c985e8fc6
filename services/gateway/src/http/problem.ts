/** What a client is told when something fails (E1), as every service tells it. */
export { Problem, type ProblemDetails, problemSchema } from "@tributary/service-kit";
