/** Hashes a file beside the page, piece by piece. Loaded when a large file is uploaded. */
import { hashStream } from './digest_stream';

/** `sha256` is undefined where the file cannot be read. */
export type DigestReply = { readonly done: number } | { readonly sha256: string | undefined };

const TELL_MS = 100;

const port = self as unknown as {
  onmessage: (event: MessageEvent<File>) => void;
  postMessage(reply: DigestReply): void;
};

port.onmessage = ({ data: file }) => {
  let told = 0;
  const tell = (done: number): void => {
    const now = performance.now();
    if (now - told < TELL_MS) return;
    told = now;
    port.postMessage({ done });
  };
  hashStream(file.stream(), tell).then(
    (sha256) => { port.postMessage({ sha256 }); },
    () => { port.postMessage({ sha256: undefined }); },
  ); // prettier-ignore
};
