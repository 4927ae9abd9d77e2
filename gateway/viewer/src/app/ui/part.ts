/** What every component of the app is: rendered into the page itself, so that one style sheet serves all. */
import { LitElement } from 'lit';
import { property } from 'lit/decorators.js';
import type { AppContext } from '../context';

export abstract class Part extends LitElement {
  @property({ attribute: false }) app!: AppContext;

  protected override createRenderRoot(): HTMLElement {
    return this;
  }
}
