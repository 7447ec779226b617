"""`torch.save` and `torch.load`: files of PyTorch's, damaged and hostile files, and what goes round."""

from __future__ import annotations

import base64
import io
import os
import zipfile
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pullback.torch as torch
import pytest
from pullback.torch import nn

from pullback.io.archive import STORAGES
from pullback.io.pickles import Call, Name, Place, Writer
from pullback.util.errors import ArgumentError, DeviceError, FileFormatError

T: Any = torch
#: written by PyTorch 2.13: torch.save of a dict of a Linear(2, 1)'s state dict, tensors, views of one of them, a
#: parameter, texts, numbers and containers
THEIRS = zlib.decompress(base64.b85decode(
    "c-pO4+jA3D7(Yqcv|XUIh!(2i1up?1<en6PmWV-JgmwXmRgBwYn=EX0^JPz3TCG+g<>C!}(ica^aeUEdeR3FIeZp}ZAAE6ma2y`|7d)43*t4|+"
    "8h0j1ll^{|^PTT}U(#_o(1lQMFIsU8piM}v7c2UVwx^_GHC#Ju<g)!}Qn(iV3xGoTZUU%UCCva|v1l2FR>Znx+S0LlNvmt6LwXTQ;NPJ@Ae0Z1"
    "*jY_4S1@!Hu|*`pg$C9QTPoDGsfKQp3Rp93t6rFiNzfe%<$DOiCXs4cgCK`UIm1%%asHtMJ$WCAi9l~YKwgWr2K32(4AO**WS{I`f_1WA_ASBs"
    "%N6Qk1BQMDHs;CF(Uh**Fi;^nm0*SQL}9SfC;KpLV)!Q9L!UNt?7bN7Q(&mE09*2XB)Cx3uu2mITiN~LJk1{5zW@&~<1<>_Cb@tIWuI-^Q%qnM"
    "wh4kUc!&rFF+5BK{c>Ol9+3mo@S|LGJBG&;c$@`ecw!k`abQnUSb(lGM3zg?J2-47hNl$R#gbCDW?{D%7@i=oKoj=R1x7e1iXo;zob40Y%SP3N"
    "gcp~bplNMFih|P|m%%Wiz+UFD22ZcDwKcV_l8k9}3HAv&h{JxK^aD=PN9ofT=RSxbtH3jt*qcKa;aLT8Z1*avF%5?~ky9C2RvOV%t2mxx{0Vrz"
    "!iwSrmg6SKl>Z3le-Xn`1&*;go;K974dWuGWf?8L3C5QMh4USE_)bv1lbr7*45t*xvp^GG7PyXBX1T>R$wE@_3SaxHglmVhd8aYFra*x$)3i(t"
    "UKjF}29;n)HB3=`L^r?4i@e0~8ir{F$_#Jo^BPnf1INi533Pri&NShy0tSmZtD7aLI#JU+ixQYDD>XwcYG64xOWKTHBqX)gd4nd@6|i|H(9dZl"
    "z@!!rk9F~G!YrSI#?jL-b4gu*S@wYn=Zb{_Eex!ig@R;jq)p77hI!eiHsK8g-n20+FmF}WoP)Q73}oPKp0!0*{!MsCMooB^ul_uS3koz@U;~!g"
    "G@7^s7jJD**l9M>NfXc2v{GxgE-|_hxXgF{ic_iY(Wm#h?gvhW8oJ4{_aTOl6u8<5kIOy1i^KTlPLd(|7+<yX4xzzT=M7I=^{R>sP8Z2#H;4^5"
    "N@>6U=a2K$7=5fxJB-q|Xq^=nR6{SDRn5e?Y~0h@@90V;sDaU0_}fn;{I@kQh(=omrsl9_(czHGKD`#*<;&19HZ<y?x&Ovi+OmST_0W$F2vcoO"
    "B$wUWfdPaTM+xm1bujbwXqZa&wsEjebP&yDGidGlV@&(<^*_I%$E2%`_L!(0%Vqa<lKx4~%X2`zkiW^}3+8F)>R%skAvd<P@w7|y6whTt=x*{)"
    "wa%RR^4m46Khf#>uZ^N>RKI6p^2QqUlb!1O5LN$i`%n4y=dT}SMfFrJd!Qrr$;p7jO<i31{kxlD{i8dn|8ytyf4kLg7IiYY>;U?o>u03X{p(?w"
    "%Ut-hzy1DgL<d{yt$DD&vki<(RR8+t<&*98x1rdr0m7DVYjvGWka?AU+b`&)TsC}{cA~L(I-QC}5|K=5B#}sFBB^vVnaU*Mk&$#flggx%k!UKD"
    "q%J=@^>ZOae1w=wA2r+Z>7J|uE1Y|O$9U210Xifg=eyBrv)D`G9)iOH$#pl$iplHcaSyUVfkz3Vl>^iZcTb^y0sdPMd1jv%>z*Pamj09xr<ND%"
    "?)D<~S1&f^#kx<Qh^_Q`uyHTe-FZE_UTngPb@xpXd!o;SO?t8JZYN@Y@nTcU*#GW_LY^fLHht&0y5_}ZyjXXi5wV-sd9Wj1th+~S6tJJTu&bO6"
    "_tD)ZfH$p2ZJNrs91QMSZb5<Fu76O7uQ#1p^uzk)krbrAztLAt0RMK}9psn+7SCh<1x2~;Z2"))


def test_a_file_of_pytorch() -> None:
    found = torch.load(io.BytesIO(THEIRS), weights_only=True, mmap=True)
    layer = nn.Linear(2, 1)
    assert str(layer.load_state_dict(found["model"])) == "<All keys matched successfully>"
    assert type(found["model"]) is OrderedDict and found["model"]._metadata[""] == {"version": 1}
    assert layer.weight.tolist() == [[1.0, 2.0]] and layer.bias.tolist() == [3.0]
    assert found["w"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["t"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["row"].tolist() == [3, 4, 5] and found["column"].tolist() == [1, 4]
    assert type(found["p"]) is nn.Parameter and found["p"].requires_grad and type(found["w"]) is T.Tensor
    assert found["half"].dtype is T.bfloat16 and found["half"].tolist() == [1.5, -2]
    assert found["flags"].tolist() == [True, False] and found["u"].dtype is T.uint16 and found["u"].tolist() == [7]
    assert found["n"].shape == () and found["n"].item() == 3 and found["none"].shape == (0, 2)
    assert type(found["size"]) is torch.Size and found["size"] == (1, 2) and found["kind"] is T.float16
    assert found["place"] == torch.device("cpu") and found["mixed"] == (1, 2.5, "x", None, [True], {"a": {1}})
    assert found["many"].tolist() == [1, 1, 1]


def test_tensors_of_one_storage_share_it() -> None:
    found = torch.load(io.BytesIO(THEIRS))
    found["w"].fill_(7)
    assert found["t"].tolist() == [[7, 7]] * 3 and found["row"].tolist() == [7, 7, 7]
    found["row"].fill_(1)
    assert found["w"].tolist() == [[7, 7, 7], [1, 1, 1]]


def test_everything_goes_round(tmp_path: Path) -> None:
    x = torch.arange(6.0).view(2, 3)
    tied = nn.Parameter(x.clone())
    tree: dict[Any, Any] = {
        "x": x, "t": x.t(), "slice": x[:, 1:], "zero": torch.tensor(2), "none": torch.zeros(3, 0), "tied": tied,
        "again": tied, "leaf": torch.ones(1, requires_grad=True), "size": x.shape, "kind": torch.int16,
        "place": torch.device("cuda:1"), "bytes": b"a\xff", "array": bytearray(b"a\xff"), "set": {1, "a"},
        "complex": 1 - 2j, "counts": Counter("aab"), "ordered": OrderedDict(b=1, a=2), (1, (2, "a")): None, 1.5: True,
        "whole": [0, -1, 255, 2**31, -2**31 - 1, 2**70, -2**70], "deep": [[], {}, (), ((1,),)], "text": "gr\u00fcn",
        **{name: torch.ones(2, dtype=getattr(torch, name)) for name in (*STORAGES, "uint16", "uint32", "uint64")}}
    tree["list"] = [1]
    tree["list"].append(tree["list"])
    path, stream = tmp_path / "x.pt", io.BytesIO()
    for target in (path, stream):
        torch.save(tree, target)
    stream.seek(0)
    for source in (path, str(path), stream):
        found = torch.load(source)
        assert list(found) == list(tree) and found["again"] is found["tied"]
        assert found["list"][0] == 1 and found["list"][1] is found["list"]
        for name, value in tree.items():
            assert type(found[name]) is type(value), name
            if isinstance(value, T.Tensor):
                assert found[name].dtype is value.dtype and found[name].shape == value.shape, name
                assert torch.equal(found[name], value) and found[name].requires_grad == value.requires_grad, name
            elif name != "list":
                assert found[name] == value, name
    assert [name for name in os.listdir(tmp_path) if name != "x.pt"] == []


def test_the_layout_is_pytorchs(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    torch.save({"a": model.weight.detach(), "b": model.weight, "c": torch.ones(3)}, tmp_path / "name.pt")
    raw = (tmp_path / "name.pt").read_bytes()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert archive.testzip() is None
        names = [info.filename for info in archive.infolist()]
        assert names == [f"name/{n}" for n in ("data.pkl", "byteorder", "data/0", "data/1", "version")]  # a and b share
        assert raw.find(torch.ones(3).numpy().tobytes()) % 64 == 0
        pickled = archive.read("name/data.pkl")
    assert b"ctorch._utils\n_rebuild_tensor_v2\n" in pickled and b"ctorch\nFloatStorage\n" in pickled


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(torch.ones(1), path)
    with pytest.raises(ArgumentError, match=r"\['f'\]"):
        torch.save({"w": torch.ones(1), "f": len}, path)
    assert torch.load(path).tolist() == [1] and os.listdir(tmp_path) == ["x.pt"]
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(ArgumentError, match="too deep"):
        torch.save(deep, path)


def test_safetensors_files_stay(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "x.safetensors")
    assert (tmp_path / "x.safetensors").read_bytes()[8:9] == b"{"
    (tmp_path / "x.safetensors").rename(tmp_path / "x.pt")
    assert torch.load(tmp_path / "x.pt")["w"].tolist() == [1, 1]


def written(tree: Any, storages: tuple[bytes, ...] = (), version: bytes = b"3\n") -> io.BytesIO:
    """A file made by hand."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", tree if isinstance(tree, bytes) else Writer(lambda _: None).write(tree))
        for k, raw in enumerate(storages):
            archive.writestr(f"a/data/{k}", raw)
        archive.writestr("a/version", version)
    return stream


def tensor(offset: Any, size: Any, stride: Any, count: Any = 4, kind: str = "FloatStorage", where: str = "cpu") -> Call:
    place = Place(("storage", Name(f"torch.{kind}"), "0", where, count))
    return Call("torch._utils._rebuild_tensor_v2", (place, offset, size, stride, False, None))


FOUR = bytes(16)


@pytest.mark.parametrize("call", [
    tensor(0, (5,), (1,)), tensor(1, (4,), (1,)), tensor(0, (2, 2), (3, 1)), tensor(0, (2**40,), (1,)),
    tensor(0, (2**62, 2**62), (2**62, 1)), tensor(-1, (1,), (1,)), tensor(2, (2,), (-1,)), tensor(0, (-1,), (1,)),
    tensor(0, (2,), (1, 1)), tensor(0, [2], [1]), tensor(0, (1.0,), (1,)), tensor(True, (1,), (1,)),
    tensor(4, (), ()), tensor(0, (2**40,), (0,)), tensor(0, (1,) * 65, (1,) * 65), tensor(0, (4,), (1,), 5),
    tensor(0, (4,), (1,), -1), tensor(0, (4,), (1,), kind="Storage"), tensor(0, (4,), (1,), 16, "Size"),
    tensor(0, (4,), (1,), 4, "DoubleStorage"),
    Call("torch._utils._rebuild_tensor_v2", ("storage", 0, (1,), (1,))),
    Call("torch._utils._rebuild_parameter", (1, 2)), Call("torch._utils._rebuild_tensor_v2", ()),
    Call("torch.float32", (1,)), Call("torch.Size", ((1.5,),)),
    Call("_codecs.encode", ("a", "rot13")), Call("builtins.set", ([[]],)), Place(("storage",)), Place((1, 2, 3, 4, 5)),
])
def test_lying_files(call: Any) -> None:
    with pytest.raises(FileFormatError):
        torch.load(written([call], (FOUR,)))


def test_what_lies_within_a_storage_is_read() -> None:
    raw = torch.arange(4.0).numpy().tobytes()
    calls = [tensor(1, (2,), (2,)), tensor(3, (), ()), tensor(4, (0,), (1,)), tensor(0, (2, 3), (0, 1)),
             tensor(0, (1, 2), (2**40, 2)), tensor(1, (3,), (1,), 3)]
    found = torch.load(written(calls, (raw,)))
    assert [x.tolist() for x in found] == [[1, 3], 3, [], [[0, 1, 2]] * 2, [[0, 2]], [1, 2, 3]]


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "builtins.getattr", "torch.load", "torch.nn.Linear",
                                  "collections.namedtuple", "numpy.core.multiarray.fromstring", "argparse.Namespace"])
def test_names_of_code_are_refused(name: str) -> None:
    with pytest.raises(FileFormatError, match=name):
        torch.load(written({"a": Call(name, ("echo",))}), weights_only=False)


@pytest.mark.parametrize("pickled", [
    b"\x80\x02.", b"\x80\x02R.", b"\x80\x02K\x01K\x02R.", b"\x80\x02h\x01.", b"\x80\x02K\x01b.", b"\x80\x02}K\x01u.",
    b"\x80\x02(K\x01e.", b"\x80\x02K\x01K\x02a.", b"\x80\x02X\xff\xff\xff\x7fa.", b"\x80\x02(", b"\x80\x02", b"",
    b"\x80\x02}(K\x01u.", b"\x80\x02}]K\x01s.", b"\x80\x02K\x01Q.", b"\x80\x02ctorch\nTensor\n)R.", b"\x80\x02)K\x01b.",
    b"\x80\x02ctorch\nTensor\n}(X\x01\x00\x00\x00aK\x01ub.", b"\x80\x02ctorch", b"\x80\x02i",
    b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x01s.",
])
def test_damaged_pickles(pickled: bytes) -> None:
    with pytest.raises(FileFormatError):
        torch.load(written(pickled))


def test_cut_files() -> None:
    for length in range(0, len(THEIRS), 101):
        with pytest.raises(FileFormatError):
            torch.load(io.BytesIO(THEIRS[:length]))


@pytest.mark.parametrize("change", [
    lambda raw: raw.replace(b"archive/data/0", b"archive/data/9"),
    lambda raw: raw.replace(b"archive/data.pkl", b"archive/data.abc"),
    lambda raw: raw.replace(b"\x00\x00\x80?", b"\x00\x00\x81?"),  # the sum of a member's bytes is wrong
])
def test_damaged_archives(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(FileFormatError):
        torch.load(io.BytesIO(change(THEIRS)))


def test_compressed_and_other_archives_are_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02N.")
    with pytest.raises(FileFormatError, match="compressed"):
        torch.load(stream)
    with pytest.raises(FileFormatError, match="holds no tensors"):
        with zipfile.ZipFile(stream := io.BytesIO(), "w") as archive:
            archive.writestr("a/code.py", b"")
        torch.load(stream)
    with pytest.raises(FileFormatError, match="truth value"):
        torch.load(written(tensor(0, (4,), (1,), 4, "BoolStorage"), (b"\x00\x01\x02\x01",)))


def test_tensors_of_other_devices() -> None:
    file = written(tensor(0, (1,), (1,), where="cuda:0"), (FOUR,))
    with pytest.raises(DeviceError, match='map_location="cpu"'):
        torch.load(file)
    for place in ("cpu", torch.device("cpu"), {"cuda:0": "cpu"}, lambda storage, location: storage):
        assert torch.load(file, map_location=place).tolist() == [0]
    with pytest.raises(DeviceError):
        torch.load(file, map_location={"cuda:1": "cpu"})


def test_the_kind_of_a_device_is_a_plain_text() -> None:
    assert type(torch.device("cpu").type) is str
