/** Starts jobs, and remembers in this browser what was asked, so that a failed one can be repeated. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  StartCompletionRequestSchema,
  StartExportRequestSchema,
  StartReconstructionRequestSchema,
  type Job,
} from '../../gen/epipar/scene/v1/job_service_pb';
import type { JobClient } from '../api/clients';
import { pack, unpack } from '../packed';

type StartClient = Pick<JobClient, 'startReconstruction' | 'startExport' | 'startCompletion'>;
type Kind = 'reconstruction' | 'export' | 'completion';

interface Asked {
  readonly job: string;
  readonly kind: Kind;
  /** The request, packed. */
  readonly request: string;
}

const STORAGE_KEY = 'epipar.asked';
const MOST_REMEMBERED = 50;
const SCHEMAS = {
  reconstruction: StartReconstructionRequestSchema,
  export: StartExportRequestSchema,
  completion: StartCompletionRequestSchema,
} as const;

/** A fresh request id: 32 hexadecimal digits. */
export function newRequestId(): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class JobStarter {
  constructor(
    private readonly client: StartClient,
    private readonly storage: Pick<Storage, 'getItem' | 'setItem'> = localStorage,
  ) {}

  async reconstruction(
    init: MessageInitShape<typeof StartReconstructionRequestSchema>,
  ): Promise<Job> {
    const request = create(StartReconstructionRequestSchema, init);
    const { job } = await this.client.startReconstruction(request);
    return this.#keep('reconstruction', pack(StartReconstructionRequestSchema, request), job);
  }

  async export(init: MessageInitShape<typeof StartExportRequestSchema>): Promise<Job> {
    const request = create(StartExportRequestSchema, init);
    const { job } = await this.client.startExport(request);
    return this.#keep('export', pack(StartExportRequestSchema, request), job);
  }

  async completion(init: MessageInitShape<typeof StartCompletionRequestSchema>): Promise<Job> {
    const request = create(StartCompletionRequestSchema, init);
    const { job } = await this.client.startCompletion(request);
    return this.#keep('completion', pack(StartCompletionRequestSchema, request), job);
  }

  /** True where this browser knows how the job was started. */
  canRepeat(job: Job): boolean {
    return this.#asked().some((asked) => asked.job === job.name);
  }

  /** Start a job again as it was started, with the same upload, into the same scene. */
  async repeat(job: Job): Promise<Job> {
    const asked = this.#asked().find((each) => each.job === job.name);
    if (!asked) throw new RangeError(`This browser did not start ${job.name}`);
    const requestId = newRequestId();
    switch (asked.kind) {
      case 'reconstruction': {
        const request = unpack(SCHEMAS.reconstruction, asked.request);
        return this.reconstruction({ ...request, scene: job.scene, requestId });
      }
      case 'export':
        return this.export({ ...unpack(SCHEMAS.export, asked.request), requestId });
      case 'completion':
        return this.completion({ ...unpack(SCHEMAS.completion, asked.request), requestId });
    }
  }

  #asked(): readonly Asked[] {
    try {
      return JSON.parse(this.storage.getItem(STORAGE_KEY) ?? '[]') as Asked[];
    } catch {
      return [];
    }
  }

  #keep(kind: Kind, request: string, job: Job | undefined): Job {
    if (!job) throw new TypeError(`Starting a ${kind} was answered without a job`);
    const others = this.#asked().filter((asked) => asked.job !== job.name);
    const all = [...others, { job: job.name, kind, request }].slice(-MOST_REMEMBERED);
    try {
      this.storage.setItem(STORAGE_KEY, JSON.stringify(all));
    } catch {
      // A full or forbidden storage costs the button "Try again", no more.
    }
    return job;
  }
}
