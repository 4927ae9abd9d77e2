/** The parts that every view is given, made once in main.ts. */
import type { Clients } from './api/clients';
import { makeClients, makeTransport } from './api/clients';
import { Connection } from './connection';
import { JobHub } from './jobs/job_hub';
import { JobStarter } from './jobs/starter';
import { SceneNames } from './scene_names';
import { ThemeSetting } from './theme';
import { Toasts } from './toasts';
import { UploadQueue } from './upload/queue';
import { TusSender } from './upload/sender';

export interface AppContext extends Clients {
  readonly connection: Connection;
  readonly hub: JobHub;
  readonly starter: JobStarter;
  readonly uploads: UploadQueue;
  readonly names: SceneNames;
  readonly toasts: Toasts;
  readonly theme: ThemeSetting;
}

/** Make the parts of a page and join them. */
export function makeContext(): AppContext {
  const connection = new Connection();
  const clients = makeClients(makeTransport(connection));
  const starter = new JobStarter(clients.jobs);
  const hub = new JobHub(clients.jobs, (status) => {
    if (status === 'live') connection.reached();
    else connection.lost();
  });
  return {
    ...clients,
    connection,
    hub,
    starter,
    uploads: new UploadQueue(starter, new TusSender()),
    names: new SceneNames(clients.scenes),
    toasts: new Toasts(),
    theme: new ThemeSetting(),
  };
}
