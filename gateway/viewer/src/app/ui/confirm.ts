/** Asks before something is lost. */
import { html, render } from 'lit';

export interface Question {
  readonly title: string;
  readonly text: string;
  /** What the button that does it says, for example "Delete scene". */
  readonly yes: string;
}

/** Show a dialog; true if the person agrees. Escape and the backdrop mean no. */
export function confirm(question: Question): Promise<boolean> {
  const dialog = document.createElement('dialog');
  dialog.setAttribute('aria-labelledby', 'confirm-title');
  render(
    html`<form method="dialog" class="dialog-body">
      <h2 id="confirm-title">${question.title}</h2>
      <p class="muted">${question.text}</p>
      <div class="dialog-actions">
        <button class="button" value="no" autofocus>Keep it</button>
        <button class="button danger" value="yes">${question.yes}</button>
      </div>
    </form>`,
    dialog,
  );
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close('no');
  });
  (document.querySelector('main') ?? document.body).append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
  });
}
