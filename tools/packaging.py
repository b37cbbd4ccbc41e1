"""Write template-zip.yaml, which is template.yaml with the function as a zip and a layer.

    python -m tools.packaging

The table is all that differs between the two; everything else is written once, in template.yaml.
"""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
IMAGE = PROJECT / "template.yaml"
ZIP = PROJECT / "template-zip.yaml"

# Text of template.yaml, which must be there once, and what stands for it in template-zip.yaml.
DIFFERENCES = (
    (
        """\
# The stack, with the function as a container image: REST API -> Lambda -> model bucket.
# `template-zip.yaml` is the same stack with the function as a zip and a layer, made of this file \
by `python -m tools.packaging`.
""",
        """\
# The stack, with the function as a zip and a layer. Made from template.yaml, which has the \
container image, by `python -m tools.packaging`.
""",
    ),
    ("[ModelName, ModelVersion, ModelSource]", "[ModelName, ModelVersion]"),
    (
        """\
  ModelSource:
    Type: String
    Default: bucket
    AllowedValues: [bucket, image]
    ConstraintDescription: must be bucket or image.
    Description: >-
      bucket reads the model from this stack's bucket, so that a new model needs no new image; \
image reads the copy of
      build/model-store that `sam build` put into the image, which needs no S3 (sam local does \
this).
""",
        """\
  SnapStart:
    Type: String
    Default: "false"
    AllowedValues: ["true", "false"]
    ConstraintDescription: must be true or false.
    Description: >-
      Whether a new environment begins as a copy of one that has loaded the model already. The \
copies are paid for, by the
      hour and by the start (docs/packaging.md).
""",
    ),
    (
        "The function's instruction set. The image must have been built for it.",
        """\
The function's instruction set. For arm64 build with `ARCH=arm64 sam build`, as the layer holds \
machine code.""",
    ),
    (
        """\
  ProductionServesFromTheBucket:
    RuleCondition: !Equals [!Ref Environment, prod]
    Assertions:
      - Assert: !Equals [!Ref ModelSource, bucket]
        AssertDescription: ModelSource=image is for sam local and for trials; in prod use \
ModelSource=bucket.
""",
        """\
  SnapStartOrProvisionedConcurrency:
    RuleCondition: !Equals [!Ref SnapStart, "true"]
    Assertions:
      - Assert: !Equals [!Ref ProvisionedConcurrency, 0]
        AssertDescription: Lambda takes either SnapStart=true or ProvisionedConcurrency above 0, \
not both; leave one out.
""",
    ),
    (
        "  ModelInImage: !Equals [!Ref ModelSource, image]\n",
        '  SnapStarts: !Equals [!Ref SnapStart, "true"]\n',
    ),
    (
        '!And [!Equals [!Ref DriftCheck, "true"], !Not [!Condition ModelInImage]]',
        '!Equals [!Ref DriftCheck, "true"]',
    ),
    (
        """\
      Whether the last day's traffic is compared with the model's baseline every day. The baseline \
is read from this stack's
      bucket: with ModelSource=image there is no check.
""",
        """\
      Whether the last day's traffic is compared with the model's baseline every day.
""",
    ),
    (
        "      PackageType: Image\n",
        """\
      CodeUri: functions/predict/
      Handler: app.handler
      Runtime: python3.13
      Layers: [!Ref OnnxruntimeLayer]
      SnapStart:
        ApplyOn: !If [SnapStarts, PublishedVersions, None]
""",
    ),
    (
        """\
          MODEL_STORE_URL: !If
            - ModelInImage
            - file:///opt/model-store
            - !Sub s3://${ModelBucket}/models
""",
        "          MODEL_STORE_URL: !Sub s3://${ModelBucket}/models\n",
    ),
    (
        """\
    Metadata: # what `sam build` hands to Docker
      Dockerfile: functions/predict/Dockerfile
      DockerContext: .
      DockerTag: !Ref Release
""",
        """\

  OnnxruntimeLayer:
    Type: AWS::Serverless::LayerVersion
    Properties:
      Description: The run-time dependencies of the predict function, onnxruntime first of all.
      ContentUri: layers/onnxruntime/
      CompatibleRuntimes: [python3.13]
      CompatibleArchitectures: [!Ref Architecture]
      PublishLambdaVersion: true # a new layer is a new version of the function
      RetentionPolicy: Delete # versions of the function that use it keep their copy
    Metadata:
      BuildMethod: makefile # layers/onnxruntime/Makefile
""",
    ),
)


def main() -> None:
    """Write the template."""
    ZIP.write_text(zipped(IMAGE.read_text()))
    print(f"wrote {ZIP.relative_to(PROJECT)}")


def zipped(text: str) -> str:
    """The template with the function as a zip.

    Raises ValueError if what is to be replaced is not there once.
    """
    for image, instead in DIFFERENCES:
        if text.count(image) != 1:
            first = image.strip().partition("\n")[0]
            raise ValueError(
                f"template.yaml has {text.count(image)} times, and not once, the text that begins "
                f"{first!r}; bring the table of tools/packaging.py up to date"
            )
        text = text.replace(image, instead)
    return text


if __name__ == "__main__":
    main()
