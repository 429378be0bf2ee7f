from sceneshift.scenes.class_colours import as_rgb, class_colours


def test_more_classes_keep_the_colours_of_fewer_and_none_comes_twice() -> None:
    many = class_colours(120)
    assert len(many) == len(set(many)) == 120
    assert class_colours(3) == many[:3] == ["#e69f00", "#56b4e9", "#009e73"]
    assert all(max(abs(a - b) for a, b in zip(as_rgb(c), (255, 255, 255), strict=True)) > 40 for c in many)


def test_a_colours_parts() -> None:
    assert as_rgb("#e69f00") == (230, 159, 0)
