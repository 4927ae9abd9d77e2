/** Stands in for the package url-parse, which tus-js-client uses once: every browser has URL. */
export default class {
  readonly #url: URL;

  constructor(link: string, origin: string) {
    this.#url = new URL(link, origin);
  }

  toString(): string {
    return this.#url.href;
  }
}
