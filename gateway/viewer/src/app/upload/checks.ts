/** What may be uploaded, said before a byte is sent. */
import { makeProblem, type Problem } from '../api/errors';
import { bytes } from '../format';

export const VIDEO_SUFFIXES = ['mp4', 'm4v', 'mov', 'mkv', 'webm', 'avi'] as const;
export const PHOTO_SUFFIXES = ['jpg', 'jpeg', 'png', 'webp'] as const;
/** The `accept` of the file dialog: types for phones, suffixes for the rest. */
export const ACCEPT = [
  'video/*',
  'image/jpeg,image/png,image/webp',
  ...[...VIDEO_SUFFIXES, ...PHOTO_SUFFIXES, 'zip'].map((suffix) => `.${suffix}`),
].join(',');
export const MAX_PHOTOS = 10_000;
/** A ZIP without its 64-bit extension ends here. */
export const MAX_ZIP_BYTES = 0xffff_0000;

/** Files that belong together: one upload, one scene. */
export interface Parcel {
  readonly title: string;
  readonly files: readonly File[];
  readonly photos: boolean;
  readonly sizeBytes: number;
}

export interface Sorted {
  readonly parcels: readonly Parcel[];
  readonly refused: readonly { readonly title: string; readonly problem: Problem }[];
}

const suffixOf = (name: string): string => name.slice(name.lastIndexOf('.') + 1).toLowerCase();
const isIn = (list: readonly string[], name: string): boolean => list.includes(suffixOf(name));

/**
 * Sort dropped files into scenes to be: each video or ZIP is one, all photos together are one.
 *
 * Args:
 *   files: what was dropped or chosen.
 *   maxBytes: the server's limit of one upload; Infinity where it is not known.
 */
export function sortFiles(files: readonly File[], maxBytes: number): Sorted {
  const photos: File[] = [];
  const parcels: Parcel[] = [];
  const refused: { title: string; problem: Problem }[] = [];
  for (const file of files) {
    const problem = problemOfFile(file, maxBytes);
    if (problem) refused.push({ title: file.name, problem });
    else if (isIn(PHOTO_SUFFIXES, file.name)) photos.push(file);
    else parcels.push(parcelOf(nameOf(file), [file], false));
  }
  if (photos.length > 0) {
    const parcel = parcelOf(`${photos.length} photos`, inOrder(photos), true);
    const problem = problemOfPhotos(parcel, maxBytes);
    if (problem) refused.push({ title: parcel.title, problem });
    else parcels.push(parcel);
  }
  return { parcels, refused };
}

function problemOfFile(file: File, maxBytes: number): Problem | undefined {
  if (!isIn([...VIDEO_SUFFIXES, ...PHOTO_SUFFIXES, 'zip'], file.name)) {
    return makeProblem('UPLOAD_TYPE', `“${file.name}” is neither a video, a photo nor a ZIP.`);
  }
  if (file.size === 0) return makeProblem('UPLOAD_EMPTY', `“${file.name}” has 0 bytes.`);
  return problemOfSize(file.name, file.size, maxBytes);
}

function problemOfPhotos(parcel: Parcel, maxBytes: number): Problem | undefined {
  const { files, title, sizeBytes } = parcel;
  if (files.length < 3) {
    return makeProblem(
      'TOO_FEW_FRAMES',
      files.length === 1
        ? 'This is 1 photo; at least 3 are needed.'
        : 'These are 2 photos; at least 3 are needed.',
    );
  }
  if (files.length > MAX_PHOTOS) {
    return makeProblem(
      'TOO_MANY_FRAMES',
      `These are ${files.length} photos; at most ${MAX_PHOTOS} go into one scene.`,
    );
  }
  return problemOfSize(`The ${title}`, sizeBytes, Math.min(maxBytes, MAX_ZIP_BYTES));
}

function problemOfSize(what: string, size: number, limit: number): Problem | undefined {
  if (size <= limit) return undefined;
  return makeProblem(
    'INPUT_TOO_LARGE',
    `“${what}” has ${bytes(size)}; at most ${bytes(limit)} are taken.`,
  );
}

const parcelOf = (title: string, files: readonly File[], photos: boolean): Parcel => ({
  title,
  files,
  photos,
  sizeBytes: files.reduce((sum, file) => sum + file.size, 0),
});

const nameOf = (file: File): string => file.name.replace(/\.[^.]+$/, '') || file.name;

const COLLATOR = new Intl.Collator('en', { numeric: true });
const inOrder = (files: readonly File[]): File[] =>
  [...files].sort((a, b) => COLLATOR.compare(a.name, b.name) || a.size - b.size);

/** All files of a drop, those inside dropped folders too. */
export async function filesOfDrop(data: DataTransfer): Promise<File[]> {
  const entries = [...data.items].map((item) =>
    item.kind === 'file' ? item.webkitGetAsEntry() : null,
  );
  if (entries.every((entry) => entry === null || entry.isFile)) return [...data.files];
  const files: File[] = [];
  for (const entry of entries) if (entry) await collect(entry, files);
  return files;
}

async function collect(entry: FileSystemEntry, files: File[]): Promise<void> {
  if (files.length > MAX_PHOTOS || entry.name.startsWith('.')) return;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => {
      (entry as FileSystemFileEntry).file(resolve, reject);
    });
    files.push(file);
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (batch.length === 0) return;
    for (const each of batch) await collect(each, files);
  }
}
