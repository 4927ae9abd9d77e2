/** Numbers, sizes and times as people read them. */
import type { Timestamp } from '@bufbuild/protobuf/wkt';

const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const COMPACT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const AGO = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const DATE = new Intl.DateTimeFormat('en', { dateStyle: 'medium' });
const DATE_TIME = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' });

/** 12345 → "12,345". */
export const count = (value: number): string => WHOLE.format(value);

/** 5358836 → "5.4M". */
export const compact = (value: number): string => COMPACT.format(value);

/** (2, "frame") → "2 frames". */
export const plural = (value: number, one: string): string =>
  `${count(value)} ${one}${value === 1 ? '' : 's'}`;

/** 31379532 → "31.4 MB" (decimal units, as disks and networks count). */
export function bytes(value: number | bigint): string {
  let size = Number(value);
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (size < 999.95 || unit === 'GB') {
      const digits = unit === 'B' || size >= 99.95 ? 0 : 1;
      return `${size.toFixed(digits)} ${unit}`;
    }
    size /= 1000;
  }
  return '';
}

/** 75 → "1 min 15 s"; 0.4 → "0.4 s"; 7500 → "2 h 5 min". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–';
  if (seconds < 9.95) return `${trim(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return join(Math.floor(whole / 60), 'min', whole % 60, 's');
  const minutes = Math.round(whole / 60);
  return join(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
}

/** 0 → "" (not known); 40 → "less than a minute left"; 200 → "about 3 min left". */
export function remaining(seconds: number): string {
  if (!(seconds > 0)) return '';
  if (seconds <= 10) return 'a few seconds left';
  if (seconds < 50) return `about ${Math.ceil(seconds / 10) * 10} s left`;
  if (seconds < 5400) return `about ${Math.max(1, Math.round(seconds / 60))} min left`;
  return `about ${trim((seconds / 3600).toFixed(1))} h left`;
}

/** A share of 0 to 1 → "42 %". */
export const percent = (share: number): string => `${Math.floor(Math.min(1, share) * 100)} %`;

/** Milliseconds since the epoch of a Timestamp; NaN where there is none. */
export const millis = (time: Timestamp | undefined): number =>
  time === undefined ? Number.NaN : Number(time.seconds) * 1000 + time.nanos / 1e6;

/** How long ago: "now", "5 minutes ago", "yesterday", "12 Mar 2026". */
export function age(at: number, now = Date.now()): string {
  if (Number.isNaN(at)) return '';
  const seconds = (now - at) / 1000;
  if (seconds < 45) return 'just now';
  if (seconds < 3600) return AGO.format(-Math.max(1, Math.round(seconds / 60)), 'minute');
  if (seconds < 86_400) return AGO.format(-Math.round(seconds / 3600), 'hour');
  if (seconds < 7 * 86_400) return AGO.format(-Math.round(seconds / 86_400), 'day');
  return DATE.format(at);
}

/** Day and time of day, for titles and tables. */
export const dateTime = (at: number): string => (Number.isNaN(at) ? '' : DATE_TIME.format(at));

/** "cross_view_matching" → "Cross view matching". */
export function sentence(name: string): string {
  const words = name.replace(/[_-]+/g, ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** "scenes/kitchen" → "kitchen". */
export const idOf = (name: string): string => name.slice(name.lastIndexOf('/') + 1);

const trim = (text: string): string => text.replace(/\.0$/, '');

const join = (large: number, largeUnit: string, small: number, smallUnit: string): string =>
  small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
