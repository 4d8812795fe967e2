"""What real servers complain of, in their words: what is about a setting, about one question, or about a field they do not know."""

import pytest
from fakes.asking import asking, draw, write_frames
from fakes.hostile_server import Reply, complaint, hostile

from sensei.annotators.vlm.openai.failures import about_one_question, remedy, unsupported

FIELDS = {"response_format", "max_tokens"}


@pytest.mark.parametrize(
    "said",
    [
        "At most 1 image(s) may be provided in one request.",
        "At most 1 image(s) may be provided in one prompt. Set `--limit-mm-per-prompt` to increase this limit",
        "vision model only supports a single image per message",
        "Too many images in request",
        "You have provided 2 images but the model supports up to 1 images",
        "number of images 2 exceeds limit 1",
    ],
)
def test_too_many_pictures(said):
    assert "`stitched: true`" in remedy(said) and not about_one_question(said) and not unsupported(FIELDS, said)


@pytest.mark.parametrize(
    "said",
    [
        "this model does not support image input",
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        "Invalid content type. image_url is only supported by certain models.",
        "Qwen2-7B is not a multimodal model",
    ],
)
def test_a_model_without_eyes(said):
    assert "takes no pictures" in remedy(said) and not about_one_question(said)


@pytest.mark.parametrize(
    "said",
    [
        "Invalid image: could not be decoded",
        "image exceeds 5 MB maximum: size 6 MB",
        "maximum image size is 20 MB",
        "Your image was rejected by our safety system",
        "max_tokens is too large: 100. This model's maximum context length is 4096 tokens and your request has 4050 input tokens",
        "This model's maximum context length is 4096 tokens. However, you requested 4200 tokens",
        "Could not finish the message because max_tokens or model output limit was reached.",
    ],
)
def test_about_one_question(said):
    assert about_one_question(said) and not unsupported(FIELDS, said)
    assert ("reply_tokens" in (remedy(said) or "")) == ("tokens" in said)


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", {"max_tokens"}),
        ("response_format of type json_schema is not supported", {"response_format"}),
        ("[{'type': 'extra_forbidden', 'loc': ['body', 'response_format'], 'msg': 'Extra inputs are not permitted'}]", {"response_format"}),
        ("max_tokens must be at least 16", set()),
    ],
)
def test_a_field_that_is_not_known_is_told_from_a_value_that_is_wrong(said, fields):
    assert unsupported(FIELDS, said) == fields


@pytest.mark.parametrize(
    ("status", "body"), [(400, complaint("Unsupported parameter: 'max_tokens'")), (422, b'{"detail": "max_tokens: extra"}')]
)
def test_what_is_not_known_is_left_out_of_every_question(tmp_path, monkeypatch, status, body):
    pairs = draw(write_frames(tmp_path), 5)
    with hostile(Reply(status, body), times=1) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.address)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        requests = {"attempts": 1, "at_once": 1}
        assert [reply.text for reply in asking(tmp_path, requests=requests).replies(pairs[:1])] == ["0"]
    assert (server.fields["max_tokens"], server.fields["max_completion_tokens"]) == (1, 1)
