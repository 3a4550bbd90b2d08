import pytest
import torch

from lockon.nn.vit import Attention, Block, ViTConfig, attention_logits, drop_path, resize_positions

SMALL = ViTConfig(patch=8, dim=16, depth=3, heads=2, feedforward=32, drop_path=0.5)


def test_attention_is_the_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    attention, x = Attention(16, 2), torch.randn(2, 5, 16)
    query, key, value = attention.split(x)
    weights = (query @ key.transpose(2, 3) / 8**0.5).softmax(-1)
    torch.testing.assert_close(attention(x), attention.merge(weights @ value))
    torch.testing.assert_close(attention_logits(query, key).softmax(-1), weights)


def test_heads_take_the_channels_in_order() -> None:
    attention = Attention(4, 2)
    with torch.no_grad():
        attention.qkv.weight.copy_(torch.eye(4).repeat(3, 1))
        attention.qkv.bias.zero_()
    x = torch.arange(4.0).view(1, 1, 4)
    for part in attention.split(x):
        assert part[0, :, 0].tolist() == [[0, 1], [2, 3]]


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    branch = torch.ones(4, 2, 3)
    out = drop_path(branch, 0.25, torch.tensor([0.1, 0.25, 0.9, 0.24]))
    assert out[:, 1, 2].tolist() == pytest.approx([0, 1 / 0.75, 1 / 0.75, 0])


def test_only_training_drops_and_the_first_block_never() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 3, 16)
    for number, drops in ((0, False), (2, True)):
        block = Block(SMALL, number)
        torch.testing.assert_close(block.eval()(x), block(x))
        assert torch.allclose(block.train()(x), block.eval()(x)) is not drops


def test_positions_of_the_same_grid_stay_and_the_class_token_goes() -> None:
    table = torch.randn(1, 1 + 9, 4)
    torch.testing.assert_close(resize_positions(table, 3), table[:, 1:])
    assert resize_positions(table, 6).shape == (1, 36, 4)
    two = torch.cat([torch.zeros(1, 1, 4), table], dim=1)
    torch.testing.assert_close(resize_positions(two, 5, prefix=2), resize_positions(table, 5))


def test_resized_positions_keep_rows_and_columns_apart() -> None:
    rows = torch.arange(8.0)[:, None].expand(8, 8)
    table = torch.cat([torch.zeros(1, 1, 2), torch.stack([rows, rows.T], dim=-1).view(1, 64, 2)], dim=1)
    resized = resize_positions(table, 4).view(4, 4, 2)
    assert torch.equal(resized[..., 0], resized[..., 1].T)
    torch.testing.assert_close(resized[:, 0, 0], resized[:, 3, 0])
    assert (resized[:, 0, 0].diff() > 1.5).all()
