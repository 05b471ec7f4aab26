"""Pages of a survey, made by hand."""

from __future__ import annotations

from scoft_hpc.ratings.pages import Page, Picture

SYSTEMS = ("base", "m", "mp", "mpc")


def pages_of(*cultures: str, number: int = 20, systems: tuple[str, ...] = SYSTEMS) -> tuple[Page, ...]:
    """Pages of five prompts, their pictures under names that tell the test what they are."""
    return tuple(
        Page(
            id=f"{culture}-{i:02d}",
            culture=culture,
            prompt=f"a thing {i % 5} in {culture}",
            seed=0,
            sample=i // 5,
            pictures=tuple(
                Picture(
                    f"{culture}-{i:02d}-{system}.png", system, f"{culture}-{system}-s0", f"samples/p{i}.png"
                )
                for system in systems
            ),
        )
        for culture in cultures
        for i in range(number)
    )
