/** Lets a component render again whenever something that it shows changes. */
import type { ReactiveController, ReactiveControllerHost } from 'lit';

export class Follow implements ReactiveController {
  /**
   * Args:
   *   host: the component.
   *   target: what it shows; asked when the component is connected.
   *   type: the event that tells of a change.
   */
  constructor(
    host: ReactiveControllerHost,
    private readonly target: () => EventTarget,
    private readonly type = 'change',
    private readonly onEvent: () => void = () => {
      host.requestUpdate();
    },
  ) {
    host.addController(this);
  }

  hostConnected(): void {
    this.target().addEventListener(this.type, this.onEvent);
  }

  hostDisconnected(): void {
    this.target().removeEventListener(this.type, this.onEvent);
  }
}
