/** Messages as text for the browser's storage: their binary form in base64. */
import { fromBinary, toBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { base64Decode, base64Encode } from '@bufbuild/protobuf/wire';

export function pack<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): string {
  return base64Encode(toBinary(schema, message));
}

/** The inverse of pack. Throws where the text is none of its. */
export function unpack<Desc extends DescMessage>(schema: Desc, text: string): MessageShape<Desc> {
  return fromBinary(schema, base64Decode(text));
}
