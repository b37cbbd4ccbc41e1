"""Signed versions: who can't sign can't promote, whatever they write into the store."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from model_build.errors import BadSignature, StoreError
from model_build.store.model_store import MANIFEST, MODEL, SIGNATURE, ModelStore, copy
from model_build.store.signing import PrivateKey
from model_build.store.verify import verify
from tests.support.command_line import Run
from tests.support.keys import public_key, write_key
from tests.support.manifests import describe

CONTENT, OTHER = b"a model", b"another model"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return write_key(tmp_path / "key.pem")


@pytest.fixture
def store(key: Path, tmp_path: Path) -> ModelStore:
    """A store whose channels take signed versions alone."""
    url = (tmp_path / "store").as_uri()
    return ModelStore(url, signing_key=public_key(key), signer=PrivateKey(key).sign)


def folder(store: ModelStore, version: str) -> Path:
    return Path(store.url.removeprefix("file://")) / "mnist/versions" / version


def test_a_signed_version_can_be_promoted_and_rolled_back_to(store: ModelStore) -> None:
    first = store.publish(describe(CONTENT), CONTENT).version
    second = store.publish(describe(OTHER, minute=1), OTHER).version
    store.promote("mnist", first, "production")
    store.promote("mnist", second, "production")
    assert store.rollback("mnist", "production")[1]["version"] == first
    assert verify(store).problems == []


def forge_manifest(store: ModelStore, version: str, _: Path) -> None:
    """The manifest of another file, which is put in place of the signed one."""
    forged = describe(OTHER) | {"version": version}
    path = folder(store, version)
    (path / MANIFEST).write_text(json.dumps(forged, indent=2, sort_keys=True) + "\n")
    (path / MODEL).write_bytes(OTHER)


def forge_model(store: ModelStore, version: str, _: Path) -> None:
    (folder(store, version) / MODEL).write_bytes(OTHER)


def remove_signature(store: ModelStore, version: str, _: Path) -> None:
    (folder(store, version) / SIGNATURE).unlink()


def take_other_signature(store: ModelStore, version: str, _: Path) -> None:
    """A valid signature, of another version."""
    other = store.publish(describe(OTHER, minute=1), OTHER).version
    shutil.copy(folder(store, other) / SIGNATURE, folder(store, version) / SIGNATURE)


def sign_with_other_key(store: ModelStore, version: str, tmp_path: Path) -> None:
    own = PrivateKey(write_key(tmp_path / "own.pem"))
    ModelStore(store.url).sign("mnist", version, own.sign)


def replay_older(store: ModelStore, version: str, _: Path) -> None:
    """An older version, whole and signed, under the name of a newer one."""
    older = store.publish(describe(OTHER), OTHER).version
    shutil.copytree(folder(store, older), folder(store, version), dirs_exist_ok=True)


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (forge_manifest, "it is not a signature by the key"),
        (forge_model, "model.onnx of mnist .* does not match its manifest"),
        (remove_signature, "has no manifest.sig; .* signs it"),
        (take_other_signature, "it is not a signature by the key"),
        (sign_with_other_key, "it is not a signature by the key"),
        (replay_older, "the manifest of mnist .* belongs to mnist 2026"),
    ],
)
def test_what_a_writer_without_the_key_can_do_is_not_promoted(
    tamper: object, reason: str, store: ModelStore, tmp_path: Path
) -> None:
    """Nor rolled back to; and `verify` reports it."""
    version = store.publish(describe(CONTENT, minute=2), CONTENT).version
    newer = store.publish(describe(CONTENT + b"!", minute=3), CONTENT + b"!").version
    store.promote("mnist", version, "staging")
    store.promote("mnist", newer, "staging")
    tamper(store, version, tmp_path)  # type: ignore[operator]
    with pytest.raises(StoreError, match=reason):
        store.promote("mnist", version, "production")
    assert store.channel("mnist", "production") is None
    with pytest.raises(StoreError, match=reason):
        store.rollback("mnist", "staging")
    assert verify(store).problems != []


def test_a_store_without_a_key_takes_unsigned_versions(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    version = models.publish(describe(CONTENT), CONTENT).version
    models.promote("mnist", version, "production")
    assert models.companion("mnist", version, SIGNATURE) is None
    assert verify(models).problems == []


def test_a_copy_takes_the_signature_along_and_renews_an_old_one(
    store: ModelStore, key: Path, tmp_path: Path
) -> None:
    """As after a change of the key."""
    version = store.publish(describe(CONTENT), CONTENT).version
    target = ModelStore((tmp_path / "target").as_uri(), signing_key=public_key(key))
    former = PrivateKey(write_key(tmp_path / "former.pem"))
    ModelStore(target.url, signer=former.sign).publish(describe(CONTENT), CONTENT)
    with pytest.raises(BadSignature):
        target.check("mnist", version)
    copy(store, target, "mnist", version)
    assert target.check("mnist", version) == store.file("mnist", version, MANIFEST)


def test_a_copy_keeps_the_bytes_that_were_signed(
    store: ModelStore, key: Path, tmp_path: Path
) -> None:
    """However the manifest was written."""
    version = store.publish(describe(CONTENT), CONTENT).version
    path = folder(store, version) / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text())))
    store.sign("mnist", version, PrivateKey(key).sign)
    target = ModelStore((tmp_path / "target").as_uri(), signing_key=public_key(key))
    copy(store, target, "mnist", version)
    assert target.check("mnist", version) == path.read_bytes()


def test_the_commands_sign_and_check(run: Run, key: Path, tmp_path: Path) -> None:
    """`sign` prints the key that `promote` and the stack take."""
    models = ModelStore((tmp_path / "store").as_uri())
    version = models.publish(describe(CONTENT), CONTENT).version
    promote = ("promote", version, "--store", models.url, "--signing-key", public_key(key))
    code, _, err = run(*promote)
    assert (code, "has no manifest.sig" in err) == (1, True)
    code, out, err = run("sign", version, "--key", key, "--store", models.url)
    assert (code, err) == (0, "")
    assert out == f"signed mnist {version}\nModelSigningKey={public_key(key)}\n"
    assert run(*promote)[0] == 0
    assert run("verify", "--store", models.url, "--signing-key", public_key(key))[0] == 0
    other = public_key(write_key(tmp_path / "other.pem"))
    for command in (("rollback",), ("verify",), ("copy", models.url, "--channel", "x")):
        assert run(*command, "--store", models.url, "--signing-key", other)[0] == 1
    code, _, err = run(*promote[:-1], "a key")
    assert (code, "got 'a key'" in err) == (2, True)


def test_what_is_no_ed25519_key_is_refused(run: Run, tmp_path: Path) -> None:
    """With the command that makes one."""
    made = {"rsa.pem": ["RSA"], "curve.pem": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]}
    for name, (algorithm, *options) in made.items():
        command = ["openssl", "genpkey", "-quiet", "-algorithm", algorithm, *options]
        subprocess.run([*command, "-out", tmp_path / name], check=True)
        with pytest.raises(StoreError, match=r"expected Ed25519\. `openssl genpkey"):
            PrivateKey(tmp_path / name)
    (tmp_path / "text.pem").write_text("no key")
    with pytest.raises(StoreError, match="is not a private key in PEM"):
        PrivateKey(tmp_path / "text.pem")
    with pytest.raises(StoreError, match="is not a private key in PEM"):
        PrivateKey(tmp_path / "missing.pem")


def test_keys_and_signatures_are_those_of_openssl(
    store: ModelStore, key: Path, tmp_path: Path
) -> None:
    """So anyone can check a version without this project."""
    version = store.publish(describe(CONTENT), CONTENT).version
    public = tmp_path / "public.pem"
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    assert public.read_text().splitlines()[1] == public_key(key)
    files = folder(store, version)
    command: list[str | Path] = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin"]
    command += ["-inkey", public, "-in", files / MANIFEST, "-sigfile", files / SIGNATURE]
    subprocess.run(command, check=True, capture_output=True)
