/** The decoding worker: a GLB in, points out; buffers move, nothing is copied. */
import { viewerErrorFrom } from '../core/errors';
import { decodePoints } from './decode';
import type { DecodeReply, DecodeRequest } from './protocol';

const port = self as unknown as {
  onmessage: (event: MessageEvent<DecodeRequest>) => void;
  postMessage(reply: DecodeReply, transfer: Transferable[]): void;
};

port.onmessage = ({ data: { id, buffer } }) => {
  decodePoints(buffer).then(
    (points) => {
      port.postMessage({ id, points }, [points.positions.buffer, points.colors.buffer]);
    },
    (thrown: unknown) => {
      const { reason, message } = viewerErrorFrom(thrown);
      const back = reason === 'UNSUPPORTED' ? buffer : undefined;
      port.postMessage({ id, failure: { reason, message }, buffer: back }, back ? [back] : []);
    },
  );
};
