/** Starts jobs, and starts failed or cancelled ones again. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  StartCompletionRequestSchema,
  StartExportRequestSchema,
  StartReconstructionRequestSchema,
  type Job,
} from '../../gen/epipar/scene/v1/job_service_pb';
import type { JobClient } from '../api/clients';

type StartClient = Pick<
  JobClient,
  'startReconstruction' | 'startExport' | 'startCompletion' | 'retryJob'
>;

/** A fresh request id: 32 hexadecimal digits. */
export function newRequestId(): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class JobStarter {
  constructor(private readonly client: StartClient) {}

  async reconstruction(
    init: MessageInitShape<typeof StartReconstructionRequestSchema>,
  ): Promise<Job> {
    const request = create(StartReconstructionRequestSchema, init);
    return jobOf(await this.client.startReconstruction(request));
  }

  async export(init: MessageInitShape<typeof StartExportRequestSchema>): Promise<Job> {
    return jobOf(await this.client.startExport(create(StartExportRequestSchema, init)));
  }

  async completion(init: MessageInitShape<typeof StartCompletionRequestSchema>): Promise<Job> {
    return jobOf(await this.client.startCompletion(create(StartCompletionRequestSchema, init)));
  }

  /** Start what is left of a failed or cancelled job: the same requests, into the same scene. */
  async again(job: Job): Promise<Job> {
    return jobOf(await this.client.retryJob({ name: job.name, requestId: newRequestId() }));
  }
}

function jobOf({ job }: { readonly job?: Job | undefined }): Job {
  if (!job) throw new TypeError('The gateway answered without a job');
  return job;
}
