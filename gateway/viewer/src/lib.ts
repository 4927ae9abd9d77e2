/** What a page that embeds the viewer imports: the element and its helpers. */
import { EpiparViewer } from './element/epipar_viewer';

export { EpiparViewer };
export type {
  CameraDetail,
  DisplayDetail,
  ViewerErrorDetail,
  ViewState,
} from './element/epipar_viewer';
export type { ViewerErrorReason } from './core/errors';
export type { ViewerStats } from './core/stats';
export { loadProgressively } from './three/progressive';
export type { GlbLoader, Level, ProgressiveOptions, ProgressiveUrls } from './three/progressive';
export { CONFIDENCE_LEGEND } from './core/confidence';
export { PROVENANCE_LEGEND, type Provenance } from './core/provenance';
export type { Region } from './core/region';

if (customElements.get('epipar-viewer') === undefined)
  customElements.define('epipar-viewer', EpiparViewer);
