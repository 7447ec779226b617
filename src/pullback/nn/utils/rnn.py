"""Sequences of different lengths: padded and packed."""

from pullback.api.recurrence import PackedSequence as PackedSequence
from pullback.api.recurrence import pack_padded_sequence as pack_padded_sequence
from pullback.api.recurrence import pack_sequence as pack_sequence
from pullback.api.recurrence import pad_packed_sequence as pad_packed_sequence
from pullback.api.recurrence import pad_sequence as pad_sequence
from pullback.api.recurrence import unpack_sequence as unpack_sequence
from pullback.api.recurrence import unpad_sequence as unpad_sequence
