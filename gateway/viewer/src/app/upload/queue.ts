/**
 * Uploads in their order, one at a time: each packed if it is photos, sent, sealed, and its
 * reconstruction started.
 *
 *   waiting → packing → checking → sending ⇄ paused → starting → done
 *                 any of them → failed (→ waiting by retry) | removed
 */
import { isAway, problemOf, type Problem } from '../api/errors';
import { idOf } from '../format';
import type { JobStarter } from '../jobs/starter';
import { sortFiles, type Parcel, type Sorted } from './checks';
import { digestOf } from './digest';
import { Meter } from './meter';
import type { EarlierUpload, Sender } from './sender';
import { zipOf } from './zip';

export type UploadState =
  'waiting' | 'packing' | 'checking' | 'sending' | 'paused' | 'starting' | 'done' | 'failed';

/** One upload as it is shown. */
export interface UploadItem {
  readonly id: number;
  readonly title: string;
  readonly sizeBytes: number;
  readonly state: UploadState;
  readonly sentBytes: number;
  readonly speed: number;
  readonly remainingS: number;
  /** "uploads/{id}", once the server has a place for it. */
  readonly upload?: string;
  readonly job?: string;
  readonly scene?: string;
  readonly problem?: Problem | undefined;
}

interface Entry {
  item: UploadItem;
  readonly parcel?: Parcel;
  file?: File;
  /** Of the file, once it is known; it does not change. */
  sha256?: string | undefined;
  /** The server has all of it: what is left is to start the job. */
  sealed: boolean;
  controller: AbortController;
  readonly meter: Meter;
}

/** Tells of a started job: the reconstruction of an upload. */
export class JobStarted extends Event {
  constructor(
    readonly job: string,
    readonly scene: string,
  ) {
    super('job');
  }
}

const BUSY: readonly UploadState[] = ['packing', 'checking', 'sending', 'starting'];

/** Fires "change" on every change and a JobStarted when a reconstruction has been queued. */
export class UploadQueue extends EventTarget {
  earlier: readonly EarlierUpload[] = [];
  #entries: readonly Entry[] = [];
  #nextId = 1;

  constructor(
    private readonly starter: Pick<JobStarter, 'reconstruction'>,
    private readonly sender: Sender,
    private readonly now: () => number = () => performance.now(),
  ) {
    super();
  }

  get items(): readonly UploadItem[] {
    return this.#entries.map(({ item }) => item);
  }

  /** True while a reload would interrupt something. */
  get busy(): boolean {
    return this.#entries.some(({ item }) => item.state !== 'done' && item.state !== 'failed');
  }

  /** Check files and queue those that may become scenes; the others come back with the reason. */
  async add(files: readonly File[]): Promise<Sorted> {
    const sorted = sortFiles(files, await this.sender.maxBytes());
    for (const parcel of sorted.parcels) this.#append(parcel.title, parcel.sizeBytes, { parcel });
    this.#next();
    return sorted;
  }

  /** Look for uploads of an earlier visit: start the jobs of whole ones, offer to go on with others. */
  async findEarlier(): Promise<void> {
    let found: EarlierUpload[];
    try {
      found = await this.sender.earlier();
    } catch {
      return; // The server is away: nothing is lost, the next visit finds them.
    }
    for (const upload of found.filter(({ sealed, name }) => sealed && !this.#knows(name))) {
      const entry = this.#append(upload.title, upload.sizeBytes, {});
      entry.sealed = true;
      this.#set(entry, { state: 'starting', upload: upload.name, sentBytes: upload.sizeBytes });
      void this.#attempt(entry, () => this.#startJob(entry));
    }
    this.earlier = found.filter(({ sealed, name }) => !sealed && !this.#knows(name));
    this.#changed();
  }

  pause(id: number): void {
    const entry = this.#entry(id);
    if (entry?.item.state !== 'sending') return;
    this.#set(entry, { state: 'paused', speed: 0, remainingS: 0 });
    entry.controller.abort();
    this.#next();
  }

  /** Go on after a pause or a failure. */
  resume(id: number): void {
    const entry = this.#entry(id);
    if (!entry || (entry.item.state !== 'paused' && entry.item.state !== 'failed')) return;
    this.#set(entry, { state: 'waiting', problem: undefined });
    this.#next();
  }

  /** Take an upload from the list; what the server has of it is removed unless its job runs. */
  remove(id: number): void {
    const entry = this.#entry(id);
    if (!entry) return;
    this.#entries = this.#entries.filter((each) => each !== entry);
    entry.controller.abort();
    if (entry.item.upload !== undefined && entry.item.state !== 'done') {
      void this.sender.discard(urlOf(entry.item.upload));
    }
    this.#changed();
    this.#next();
  }

  /** Give up an upload of an earlier visit. */
  async dismiss(upload: EarlierUpload): Promise<void> {
    this.earlier = this.earlier.filter((each) => each !== upload);
    this.#changed();
    await this.sender.discard(upload.url);
  }

  #entry(id: number): Entry | undefined {
    return this.#entries.find(({ item }) => item.id === id);
  }

  #knows(upload: string): boolean {
    return this.#entries.some(({ item }) => item.upload === upload);
  }

  #append(title: string, sizeBytes: number, more: Pick<Entry, 'parcel'>): Entry {
    const item: UploadItem = {
      id: this.#nextId++,
      title,
      sizeBytes,
      state: 'waiting',
      sentBytes: 0,
      speed: 0,
      remainingS: 0,
    };
    const entry: Entry = {
      item,
      ...more,
      sealed: false,
      controller: new AbortController(),
      meter: new Meter(),
    };
    this.#entries = [...this.#entries, entry];
    this.#changed();
    return entry;
  }

  #set(entry: Entry, change: Partial<UploadItem>): void {
    entry.item = { ...entry.item, ...change };
    this.#changed();
  }

  #changed(): void {
    this.dispatchEvent(new Event('change'));
  }

  /** Begin the next that waits, if none is under way. */
  #next(): void {
    if (this.#entries.some(({ item }) => BUSY.includes(item.state))) return;
    const entry = this.#entries.find(({ item }) => item.state === 'waiting');
    if (entry) void this.#attempt(entry, () => this.#run(entry));
  }

  async #attempt(entry: Entry, work: () => Promise<void>): Promise<void> {
    entry.controller = new AbortController();
    const { signal } = entry.controller;
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) this.#fail(entry, problemOf(error));
    }
    this.#next();
  }

  #fail(entry: Entry, problem: Problem): void {
    this.#set(entry, { state: 'failed', problem, speed: 0, remainingS: 0 });
    const { upload } = entry.item;
    // Bytes that the server refused for good are not offered again after a reload.
    if (upload !== undefined && !entry.sealed && !isAway(problem))
      void this.sender.discard(urlOf(upload));
  }

  async #run(entry: Entry): Promise<void> {
    const { parcel } = entry;
    const { signal } = entry.controller;
    if (parcel && !entry.sealed) {
      const file = (entry.file ??= await this.#pack(entry, parcel));
      await this.#send(entry, file, parcel);
      entry.sealed = true;
    }
    signal.throwIfAborted();
    await this.#startJob(entry);
  }

  async #pack(entry: Entry, parcel: Parcel): Promise<File> {
    const [first] = parcel.files;
    if (!parcel.photos && first) return first;
    this.#set(entry, { state: 'packing' });
    return zipOf(
      parcel.files,
      'photos.zip',
      (read) => {
        this.#set(entry, { sentBytes: read });
      },
      entry.controller.signal,
    );
  }

  async #send(entry: Entry, file: File, parcel: Parcel): Promise<void> {
    const { signal } = entry.controller;
    entry.meter.reset();
    this.#set(entry, { state: 'sending', sizeBytes: file.size, sentBytes: 0 });
    const sha256 = (entry.sha256 ??= await digestOf(
      file,
      (sentBytes) => {
        if (!signal.aborted) this.#set(entry, { state: 'checking', sentBytes });
      },
      signal,
    ));
    signal.throwIfAborted();
    if (entry.item.state === 'checking') this.#set(entry, { state: 'sending', sentBytes: 0 });
    const upload = await this.sender.send({
      file,
      displayName: parcel.title,
      fingerprint: fingerprintOf(parcel),
      ...(sha256 !== undefined && { sha256 }),
      signal,
      onName: (name) => {
        this.#set(entry, { upload: name });
        this.earlier = this.earlier.filter((each) => each.name !== name);
      },
      onProgress: (sentBytes) => {
        if (signal.aborted) return;
        entry.meter.note(sentBytes, this.now());
        const remainingS = entry.meter.remaining(file.size);
        this.#set(entry, { sentBytes, speed: entry.meter.speed, remainingS });
      },
    });
    this.#set(entry, { upload, sentBytes: file.size });
  }

  /** The request id makes a repeat, also after a reload, answer the same job. */
  async #startJob(entry: Entry): Promise<void> {
    const { upload = '' } = entry.item;
    this.#set(entry, { state: 'starting', speed: 0, remainingS: 0 });
    const job = await this.starter.reconstruction({ upload, requestId: idOf(upload) });
    this.#set(entry, { state: 'done', job: job.name, scene: job.scene });
    void this.sender.forget(urlOf(upload));
    this.dispatchEvent(new JobStarted(job.name, job.scene));
  }
}

const urlOf = (upload: string): string => `/${upload}`;

/** Names, sizes and dates of the files: the same choice of files is the same upload. */
function fingerprintOf({ files }: Parcel): string {
  const text = files
    .map(({ name, size, lastModified }) => `${name}:${size}:${lastModified}`)
    .join('|');
  let hash = 0xcbf2_9ce4_8422_2325n;
  for (const char of text) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(char.codePointAt(0) ?? 0)) * 0x100_0000_01b3n);
  }
  return `epipar-${hash.toString(16)}-${files.length}`;
}
