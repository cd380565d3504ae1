"""The closed list of reasons a job can carry, each with what to do about it.

A reason is for scripts and never changes its meaning; the sentence beside it is written where
the problem is found, the hint stands here once.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Reason(StrEnum):
    # waiting
    METADATA_MISSING = "metadata_missing"
    AUDIO_MISSING = "audio_missing"
    STILL_CHANGING = "still_changing"
    HEADER_UNFINISHED = "header_unfinished"
    SHORTER_THAN_HEADER = "shorter_than_header"
    UNREADABLE = "unreadable"
    READ_AGAIN = "read_again"
    CALL_RECORD_MISSING = "call_record_missing"
    SOURCE_UNREADABLE = "source_unreadable"
    # unusable: the audio
    NOT_A_REGULAR_FILE = "not_a_regular_file"
    NOT_WAV = "not_wav"
    NOT_PCM = "not_pcm"
    WRONG_SAMPLE_FORMAT = "wrong_sample_format"
    WRONG_SAMPLE_RATE = "wrong_sample_rate"
    WRONG_CHANNELS = "wrong_channels"
    TOO_LONG = "too_long"
    NEVER_FINISHED = "never_finished"
    TRUNCATED = "truncated"
    # unusable: the metadata
    METADATA_NOT_TEXT = "metadata_not_text"
    METADATA_NOT_JSON = "metadata_not_json"
    METADATA_NOT_XML = "metadata_not_xml"
    METADATA_DOCTYPE = "metadata_doctype"
    METADATA_NOT_AN_OBJECT = "metadata_not_an_object"
    METADATA_TOO_BIG = "metadata_too_big"
    METADATA_DUPLICATE_KEY = "metadata_duplicate_key"
    METADATA_NESTED = "metadata_nested"
    METADATA_BAD_VALUE = "metadata_bad_value"
    METADATA_VALUE_TOO_LONG = "metadata_value_too_long"
    METADATA_KEY_LACKING = "metadata_key_lacking"
    METADATA_BAD_DATE = "metadata_bad_date"
    # skipped
    NO_AUDIO = "no_audio"
    TOO_SHORT = "too_short"
    DUPLICATE = "duplicate"
    VANISHED = "vanished"
    BY_OPERATOR = "by_operator"
    BY_RULE = "by_rule"
    FORGOTTEN = "forgotten"
    # lost
    VANISHED_BEFORE_UPLOAD = "vanished_before_upload"
    # ready, after something went wrong
    UPLOAD_FAILED = "upload_failed"
    SERVICE_TROUBLE = "service_trouble"
    INTERRUPTED = "interrupted"
    RESEND = "resend"
    # unconfirmed
    OUTCOME_UNKNOWN = "outcome_unknown"
    MAYBE_SENT_BEFORE = "maybe_sent_before"
    # refused
    SERVICE_REFUSED = "service_refused"
    TOO_LARGE_FOR_SERVICE = "too_large_for_service"
    GAVE_UP = "gave_up"
    # uploaded, done
    FILING_FAILED = "filing_failed"
    CHANGED_AFTER_UPLOAD = "changed_after_upload"
    FILES_CHANGED = "files_changed"


_NOTHING = "Nothing to do: it goes on by itself."

HINTS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.METADATA_MISSING: "Does the recorder write a metadata file for this call? `metadata` in the "
        "folder's rules says where it is looked for.",
        Reason.AUDIO_MISSING: "Does the recorder still work on this call? `audio` in the folder's rules says "
        "which names count as audio.",
        Reason.STILL_CHANGING: _NOTHING,
        Reason.HEADER_UNFINISHED: "The recorder fills the header in when it closes the file; "
        "if it died, the recording is reported after `abandon_after`.",
        Reason.SHORTER_THAN_HEADER: "The file may still be on its way; it is reported after `abandon_after`.",
        Reason.UNREADABLE: "Give the service's user the right to read it, for instance by membership of the "
        "recorder's group; it is tried again by itself.",
        Reason.READ_AGAIN: _NOTHING,
        Reason.CALL_RECORD_MISSING: "The exchange writes it when the call ends; after `wait` in [folders.cdr] the recording "
        "goes on without it. If it never comes: does the record name the recording or its unique id?",
        Reason.SOURCE_UNREADABLE: "Mend what the message says ([folders.cdr], `operators`); it is tried again by itself.",
        Reason.NOT_A_REGULAR_FILE: "Links, pipes and devices are never followed or read; put the file itself there.",
        Reason.NOT_WAV: "Set the recorder to write WAV, or narrow `audio` in the folder's rules.",
        Reason.NOT_PCM: "Set the recorder to write WAV with 16-bit PCM (Asterisk: format wav, not wav49).",
        Reason.WRONG_SAMPLE_FORMAT: "Set the recorder to write 16-bit PCM.",
        Reason.WRONG_SAMPLE_RATE: "Set the recorder to a rate from 8 to 48 kHz.",
        Reason.WRONG_CHANNELS: "Set the recorder to the number of channels that `connection_type` needs, "
        "or choose the connection type that fits.",
        Reason.TOO_LONG: "SpeechSense takes at most 4 hours; `max_duration` may be set lower.",
        Reason.NEVER_FINISHED: "The recorder was probably killed while it wrote this file. "
        "Mend the header and the file is taken by itself.",
        Reason.TRUNCATED: "Copy the file again whole and it is taken by itself.",
        Reason.METADATA_NOT_TEXT: "Write the metadata in UTF-8.",
        Reason.METADATA_NOT_JSON: "Mend the JSON and the recording is taken by itself.",
        Reason.METADATA_NOT_XML: "Mend the XML and the recording is taken by itself. `metadata_format` in the folder's rules "
        "says whether it is XML or JSON.",
        Reason.METADATA_DOCTYPE: "Have the recorder write XML without a DOCTYPE: entities can hide a great deal of text, or lead "
        "to other files.",
        Reason.METADATA_NOT_AN_OBJECT: 'The metadata must be one JSON object, like {"operator_id": "201"}.',
        Reason.METADATA_TOO_BIG: "Metadata of one call is never this big: is it the right file?",
        Reason.METADATA_DUPLICATE_KEY: "Name each key once.",
        Reason.METADATA_NESTED: "Values must be strings, numbers or booleans, not objects or lists.",
        Reason.METADATA_BAD_VALUE: "Mend the value and the recording is taken by itself.",
        Reason.METADATA_VALUE_TOO_LONG: "SpeechSense takes at most 1,024 bytes a value (Cyrillic letters count double).",
        Reason.METADATA_KEY_LACKING: "Have the recorder write the key, or give it under "
        "[folders.metadata_rename] or [folders.metadata_defaults]. Who answered a call from outside stands in the exchange's "
        "call records: [folders.cdr].",
        Reason.METADATA_BAD_DATE: "Write dates as 2025-04-24T14:34:19+03:00, or set `time_zone` for dates without a zone.",
        Reason.NO_AUDIO: "Nothing to do: calls that were never answered leave such files.",
        Reason.TOO_SHORT: "`min_duration` in the folder's rules decides; `retry` sends it all the same.",
        Reason.DUPLICATE: "Nothing to do: the same call is already on record.",
        Reason.VANISHED: "Nothing to do, if the recorder removes such files itself.",
        Reason.BY_OPERATOR: "`retry` takes the skip back.",
        Reason.BY_RULE: "Nothing to do, if the folder's rules are meant so; `retry` sends it all the same.",
        Reason.FORGOTTEN: "Delete the files; nothing sends this call again.",
        Reason.VANISHED_BEFORE_UPLOAD: "Something removed the recording before it was sent: bring it back, "
        "and find out what removes files from this folder so soon. `skip` clears this line.",
        Reason.UPLOAD_FAILED: "It is tried again by itself.",
        Reason.SERVICE_TROUBLE: "See `status` for the pause and its reason; it goes on by itself.",
        Reason.INTERRUPTED: _NOTHING,
        Reason.RESEND: "It is sent again; if both tries arrived, SpeechSense has the call twice.",
        Reason.OUTCOME_UNKNOWN: "Look in SpeechSense whether the call is there, then `resolve ID --uploaded TALK` "
        "or `resolve ID --resend`.",
        Reason.MAYBE_SENT_BEFORE: "Look in SpeechSense whether the call is there, then `resolve ID --uploaded TALK` "
        "or `resolve ID --resend`; `adopt LIST.csv` takes many talk ids at once.",
        Reason.SERVICE_REFUSED: "Mend what SpeechSense complains about, then `retry`; `skip` leaves it out.",
        Reason.TOO_LARGE_FOR_SERVICE: "Lower `stream_above`, so that it is sent in pieces, then `retry`.",
        Reason.GAVE_UP: "It failed for longer than `give_up_after`. `show` lists every try; `retry` starts anew.",
        Reason.FILING_FAILED: "Mend what the message says; it is tried again by itself. `skip` leaves the files where they are.",
        Reason.CHANGED_AFTER_UPLOAD: "What SpeechSense has is not what lies here now: `retry` sends the new one as well, "
        "`skip` clears this line.",
        Reason.FILES_CHANGED: "The files were changed or moved by someone else after the upload, so they were left alone.",
    }
)
