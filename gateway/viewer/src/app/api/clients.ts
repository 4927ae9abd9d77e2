/** The gRPC-Web clients of the gateway's services, on the page's own origin. */
import { createClient, type Client, type Interceptor, type Transport } from '@connectrpc/connect';
import { createGrpcWebTransport } from '@connectrpc/connect-web';
import { JobService } from '../../gen/epipar/scene/v1/job_service_pb';
import { SceneService } from '../../gen/epipar/scene/v1/scene_service_pb';
import type { Connection } from '../connection';
import { isAway, problemOf } from './errors';
import { traced } from './traceparent';

export type JobClient = Client<typeof JobService>;
export type SceneClient = Client<typeof SceneService>;

export interface Clients {
  readonly jobs: JobClient;
  readonly scenes: SceneClient;
}

const UNARY_TIMEOUT_MS = 20_000;

/** Make the clients over any transport. */
export function makeClients(transport: Transport): Clients {
  return {
    jobs: createClient(JobService, transport),
    scenes: createClient(SceneService, transport),
  };
}

/** Make the transport of a page: binary gRPC-Web that tells the connection how it goes. */
export function makeTransport(connection: Connection, baseUrl = window.location.origin): Transport {
  return createGrpcWebTransport({
    baseUrl,
    useBinaryFormat: true,
    // A watch passes timeoutMs: 0, it lives as long as its signal.
    defaultTimeoutMs: UNARY_TIMEOUT_MS,
    interceptors: [tellConnection(connection), traced],
  });
}

function tellConnection(connection: Connection): Interceptor {
  return (next) => async (request) => {
    try {
      const answer = await next(request);
      connection.reached();
      return answer;
    } catch (error) {
      if (!request.signal.aborted) {
        if (isAway(problemOf(error))) connection.lost();
        else connection.reached();
      }
      throw error;
    }
  };
}
