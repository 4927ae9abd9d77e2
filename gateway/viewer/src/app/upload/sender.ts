/** One file over tus 1.0: resumes across reloads, tells its progress, fails in words. */
import type { DetailedError, PreviousUpload, Upload } from 'tus-js-client';
import { makeProblem, problemOfHttp, ProblemError, type Problem } from '../api/errors';

/** What a sender needs to know of the file and whom to tell. */
export interface SendRequest {
  readonly file: File;
  readonly displayName: string;
  /** Tells this file from all others on this device, also after a reload. */
  readonly fingerprint: string;
  readonly sha256?: string;
  readonly onProgress: (sentBytes: number) => void;
  /** The server has a place for it: "uploads/{id}". */
  readonly onName: (name: string) => void;
  readonly signal: AbortSignal;
}

/** Sends a file; the seam that tests replace. */
export interface Sender {
  /** Resolves with "uploads/{id}" once the last byte has come; rejects when the signal fires. */
  send(request: SendRequest): Promise<string>;
  /** Forget an upload on this device: its job has been started. */
  forget(uploadUrl: string): Promise<void>;
  /** Forget an upload on this device and remove it from the server. */
  discard(uploadUrl: string): Promise<void>;
  /** Uploads of an earlier visit to this page. */
  earlier(): Promise<EarlierUpload[]>;
  /** Bytes that one upload may have; Infinity where the server does not say. */
  maxBytes(): Promise<number>;
}

/** An upload that a reload cut off, or whose job was not started yet. */
export interface EarlierUpload {
  readonly url: string;
  readonly name: string;
  readonly title: string;
  readonly sizeBytes: number;
  readonly sentBytes: number;
  readonly sealed: boolean;
}

const ENDPOINT = '/uploads';
const CHUNK_BYTES = 16 * 1024 * 1024;
/** Delays between tries; each progress starts the series anew. */
const RETRY_MS = [0, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000, 30_000, 30_000, 60_000];
const KEEP_TRYING = new Set([408, 409, 423, 425, 429, 500, 502, 503, 504]);

/** tus-js-client, loaded with the first upload. */
const loadTus = (): Promise<typeof import('tus-js-client')> => import('tus-js-client');

/** The sender of a page. */
export class TusSender implements Sender {
  async send(request: SendRequest): Promise<string> {
    const { signal } = request;
    const tus = await loadTus();
    signal.throwIfAborted();
    return new Promise<string>((resolve, reject) => {
      const upload = new tus.Upload(request.file, {
        ...this.#options(request),
        onError: (error) => {
          reject(new ProblemError(problemOfTus(error)));
        },
        onSuccess: ({ lastResponse }) => {
          resolve(lastResponse.getHeader('Epipar-Upload') ?? nameOf(upload.url));
        },
        onUploadUrlAvailable: () => {
          request.onName(nameOf(upload.url));
        },
      });
      signal.addEventListener('abort', () => {
        void upload.abort();
        reject(signal.reason as Error);
      });
      void startOrResume(upload, signal);
    });
  }

  async forget(uploadUrl: string): Promise<void> {
    await forgetOnDevice(await loadTus(), uploadUrl);
  }

  async discard(uploadUrl: string): Promise<void> {
    const tus = await loadTus();
    await forgetOnDevice(tus, uploadUrl);
    try {
      await tus.Upload.terminate(uploadUrl, { retryDelays: [] });
    } catch {
      // It is gone, sealed or out of reach: the server sweeps what nobody finishes.
    }
  }

  async earlier(): Promise<EarlierUpload[]> {
    if (!hasStoredUploads()) return [];
    const tus = await loadTus();
    const stored = (await tus.defaultOptions.urlStorage.findAllUploads()).filter(isOurs);
    const asked = await Promise.all(stored.map((previous) => askServer(tus, previous)));
    return asked.filter((upload) => upload !== undefined);
  }

  async maxBytes(): Promise<number> {
    try {
      const answer = await fetch(ENDPOINT, { method: 'OPTIONS' });
      return Number(answer.headers.get('Tus-Max-Size')) || Number.POSITIVE_INFINITY;
    } catch {
      return Number.POSITIVE_INFINITY; // The server refuses with its own words then.
    }
  }

  #options(request: SendRequest): ConstructorParameters<typeof Upload>[1] {
    const { file, displayName, sha256 } = request;
    return {
      endpoint: ENDPOINT,
      chunkSize: CHUNK_BYTES,
      retryDelays: RETRY_MS,
      fingerprint: () => Promise.resolve(request.fingerprint),
      // The stored address goes once the job has been started: see forget.
      removeFingerprintOnSuccess: false,
      metadata: {
        filename: file.name,
        filetype: file.type,
        display_name: displayName,
        ...(sha256 !== undefined && { sha256 }),
      },
      onShouldRetry: (error) => {
        const status = statusOf(error);
        return status === 0 || KEEP_TRYING.has(status);
      },
      onProgress: (sent) => {
        request.onProgress(sent);
      },
    };
  }
}

async function startOrResume(upload: Upload, signal: AbortSignal): Promise<void> {
  const [previous] = (await upload.findPreviousUploads()).filter(isOurs);
  if (signal.aborted) return;
  if (previous) upload.resumeFromPreviousUpload(previous);
  upload.start();
}

const isOurs = (previous: PreviousUpload): boolean =>
  previous.uploadUrl !== null &&
  new URL(previous.uploadUrl, window.location.href).origin === window.location.origin;

/** "http://host/uploads/abc" → "uploads/abc". */
export const nameOf = (url: string | null): string =>
  `uploads/${(url ?? '').replace(/\/+$/, '').split('/').at(-1) ?? ''}`;

const statusOf = (error: DetailedError | Error): number =>
  ('originalResponse' in error && error.originalResponse?.getStatus()) || 0;

/** Why an upload failed, in words. */
export function problemOfTus(error: DetailedError | Error): Problem {
  const status = statusOf(error);
  if (status === 0 || !('originalResponse' in error)) {
    return makeProblem(navigator.onLine ? 'SERVER_AWAY' : 'OFFLINE');
  }
  const response = error.originalResponse;
  return problemOfHttp(
    status,
    response?.getBody() ?? '',
    response?.getHeader('Retry-After') ?? null,
  );
}

/** tus-js-client keeps its addresses under keys "tus::…"; without one there is no need to load it. */
function hasStoredUploads(): boolean {
  try {
    return Object.keys(localStorage).some((key) => key.startsWith('tus::'));
  } catch {
    return false;
  }
}

async function forgetOnDevice(tus: typeof import('tus-js-client'), url: string): Promise<void> {
  const storage = tus.defaultOptions.urlStorage;
  for (const previous of await storage.findAllUploads()) {
    if (previous.uploadUrl !== null && nameOf(previous.uploadUrl) === nameOf(url)) {
      await storage.removeUpload(previous.urlStorageKey);
    }
  }
}

async function askServer(
  tus: typeof import('tus-js-client'),
  previous: PreviousUpload,
): Promise<EarlierUpload | undefined> {
  const url = previous.uploadUrl ?? '';
  const answer = await fetch(url, { headers: { Accept: 'application/json' } });
  if (answer.status === 404 || answer.status === 410) await forgetOnDevice(tus, url);
  if (!answer.ok) return undefined;
  const known = (await answer.json()) as { state?: string; offset?: number; size?: number };
  return {
    url,
    name: nameOf(url),
    title: previous.metadata.display_name ?? previous.metadata.filename ?? 'Upload',
    sizeBytes: known.size ?? previous.size ?? 0,
    sentBytes: known.offset ?? 0,
    sealed: known.state === 'sealed',
  };
}
