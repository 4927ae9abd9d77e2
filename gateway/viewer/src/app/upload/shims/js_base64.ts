/** Stands in for the package js-base64, which tus-js-client uses once: every browser has btoa. */
export const Base64 = {
  /** Return the Base64 of a text's UTF-8 bytes. */
  encode(text: string): string {
    const bytes = new TextEncoder().encode(text);
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
  },
};
