/** The messages between the page and a decoding worker. */
import type { ViewerErrorReason } from '../core/errors';
import type { DecodedPoints } from './points';

export interface DecodeRequest {
  readonly id: number;
  readonly buffer: ArrayBuffer;
}

export type DecodeReply =
  | { readonly id: number; readonly points: DecodedPoints }
  | {
      readonly id: number;
      readonly failure: { readonly reason: ViewerErrorReason; readonly message: string };
      /** The file, where the page may try a general reader on it. */
      readonly buffer: ArrayBuffer | undefined;
    };
