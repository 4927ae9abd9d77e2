/** What people call the scenes that jobs name by their id alone. */
import type { Scene } from '../gen/epipar/scene/v1/scene_service_pb';
import type { SceneClient } from './api/clients';
import { idOf } from './format';

const PAGE = 500;
const PAUSE_MS = 20_000;

/** Fires "change" when names have been learnt. */
export class SceneNames extends EventTarget {
  readonly #names = new Map<string, string>();
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly client: Pick<SceneClient, 'listScenes'>) {
    super();
  }

  /** The display name of "scenes/{scene}", its id while that is not known. */
  titleOf(name: string): string {
    const known = this.#names.get(name);
    if (known === undefined && name !== '') void this.#ask();
    return known ?? idOf(name);
  }

  learn(scenes: readonly Scene[]): void {
    for (const { name, displayName } of scenes) this.#names.set(name, displayName || idOf(name));
    this.dispatchEvent(new Event('change'));
  }

  async #ask(): Promise<void> {
    if (performance.now() - this.#askedAt < PAUSE_MS) return;
    this.#askedAt = performance.now();
    try {
      const { scenes } = await this.client.listScenes({ pageSize: PAGE });
      this.learn(scenes);
    } catch {
      // Ids are shown until a later try works.
    }
  }
}
