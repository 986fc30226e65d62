/** Methods that have a handle in their input. */
import * as v from "@atcute/lexicons/validations";

type Input<Shape extends v.LooseObjectShape> = v.XRPCLexBodyParam<v.ObjectSchema<Shape>>;

/** The lexicon's, but any text as a handle: what is wrong with one is then told as InvalidHandle, with the reason. */
export function withAnyHandle<
  Params extends v.ObjectSchema | null,
  Shape extends v.LooseObjectShape,
  Output extends v.XRPCBodyParam,
  Nsid extends v.XRPCProcedureMetadata["nsid"],
>(main: v.XRPCProcedureMetadata<Params, Input<Shape>, Output, Nsid>) {
  const { handle: _, ...others } = main.input.schema.shape;
  return { ...main, input: { ...main.input, schema: v.object({ ...others, handle: v.string() }) } };
}
