/** Stands in for the package url-parse, which tus-js-client uses once: every browser has URL. */
export default class {
  readonly #url: URL;

  constructor(link: string, origin: string) {
    // The endpoint itself may be relative to the page.
    this.#url = new URL(link, new URL(origin, document.baseURI));
  }

  toString(): string {
    return this.#url.href;
  }
}
