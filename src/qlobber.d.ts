/** The part of qlobber that we use; it ships no types that TypeScript finds. */
declare module "qlobber" {
  export interface QlobberOptions {
    readonly separator?: string;
    readonly wildcard_one?: string;
    readonly wildcard_some?: string;
    readonly match_empty_levels?: boolean;
  }
  /** A trie of topic filters. A value added twice under one filter is there twice. */
  export class Qlobber<Value> {
    constructor(options?: QlobberOptions);
    add(filter: string, value: Value): this;
    remove(filter: string, value?: Value): this;
    match(topic: string): Value[];
    test(topic: string, value: Value): boolean;
    clear(): this;
  }
}
