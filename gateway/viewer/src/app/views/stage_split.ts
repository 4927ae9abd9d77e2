/** The line between before and after, moved by hand, touch or keys. */
import { html, type TemplateResult } from 'lit';
import { icon } from '../ui/icons';

export const splitSlider = (percent: number, move: (percent: number) => void): TemplateResult =>
  html`<span class="split-line" aria-hidden="true">${icon('compare', 18)}</span>
    <span class="split-word left" aria-hidden="true">Before</span>
    <span class="split-word right" aria-hidden="true">After</span>
    <input
      class="split"
      type="range"
      min="0"
      max="100"
      aria-label="Before and after"
      aria-valuetext="${percent} % before"
      .value=${String(percent)}
      @input=${(event: Event) => {
        move(Number((event.target as HTMLInputElement).value));
      }}
    />`;
