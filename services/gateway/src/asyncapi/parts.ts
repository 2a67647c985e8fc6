/** What the parts of the AsyncAPI document share. */

/** A value of the document; it is data from here on. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export const AVRO_SCHEMA_FORMAT = "application/vnd.apache.avro;version=1.9.0";

export const capital = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1);
