// The type of node-forge's ASN.1 part alone, which the daemon loads without the rest.
declare module "node-forge/lib/asn1.js" {
  import { asn1 } from "node-forge";

  export default asn1;
}
