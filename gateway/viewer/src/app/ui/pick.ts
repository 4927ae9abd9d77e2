/** How a button anywhere asks the app to open the file dialog. */

export const PICK_FILES = 'ep-pick-files';

/** For `@click` of such a button. */
export function askForFiles(event: Event): void {
  event.currentTarget?.dispatchEvent(new Event(PICK_FILES, { bubbles: true }));
}
