"""The manners of an estimator: hyperparameters stored as given, checked by fit, cloned, shown."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from recae.errors import ConfigError, NotFittedError, unknown_option
from recae.estimators.params import complaint, params
from recae.estimators.saved import register


class Estimator:
    """get_params, set_params, clone, presets, repr and the check of hyperparameters."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    fitted_params_: dict[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register(cls)  # so that `recae.load` knows it by its name

    @classmethod
    def preset(cls, name: str = "paper") -> Self:
        """An unfitted estimator with named settings, such as those of its authors.

        Settings of a paper suit its data and hardware; the defaults suit a first try. Raises
        ConfigError for an unknown name.

        >>> recae.MultDAE.preset("paper").l2
        2e-05
        """
        if name not in cls.presets:
            raise unknown_option(f"preset of {cls.__name__}", name, cls.presets)
        return cls(**cls.presets[name])

    @classmethod
    def param_fields(cls) -> dict[str, dataclasses.Field[Any]]:
        """The declared hyperparameters by name; metadata: as in `param`.

        >>> list(recae.PureSVD.param_fields())
        ['latent', 'weights']
        """
        return {f.name: f for f in params(cls)}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyperparameters by name. `deep` is there for scikit-learn and changes nothing.

        >>> recae.PureSVD(latent=5).get_params()
        {'latent': 5, 'weights': 'neither'}
        """
        return {name: getattr(self, name) for name in self.param_fields()}

    def set_params(self, **params: Any) -> Self:
        """Stores hyperparameters and returns self. Raises ConfigError for unknown names.

        >>> recae.EASE().set_params(l2=5)
        EASE(l2=5)
        """
        known = self.param_fields()
        for name in params:
            if name not in known:
                raise unknown_option(f"hyperparameter of {type(self).__name__}", name, known)
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def clone(self) -> Self:
        """An unfitted estimator with the same hyperparameters.

        >>> recae.EASE(l2=5).fit(data).clone()
        EASE(l2=5)
        """
        return type(self)(**self.get_params())

    def __repr__(self) -> str:
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value != self.param_fields()[name].default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def check_params(self) -> None:
        """Raises ConfigError for the first hyperparameter of a wrong type or out of range.

        >>> recae.EASE(l2=0).check_params()
        Traceback (most recent call last):
        recae.errors.ConfigError: l2 of EASE must be a number > 0, not 0
        """
        hints = typing.get_type_hints(type(self))
        for name, declared in self.param_fields().items():
            value, about = getattr(self, name), declared.metadata
            owner = type(self).__name__
            if about["choices"] is not None:
                if value not in about["choices"]:
                    raise unknown_option(f"{name} of {owner}", value, about["choices"])
                continue
            wanted = complaint(value, hints[name], about)
            if wanted is not None:
                raise ConfigError(f"{name} of {owner} must be {wanted}, not {value!r}")

    def _not_fitted(self) -> Exception:
        return NotFittedError(f"this {type(self).__name__} is not fitted: call fit first")

    def _check_fitted(self) -> None:
        """Raises NotFittedError before fit, and ConfigError if a hyperparameter changed since."""
        if not hasattr(self, "fitted_params_"):
            raise self._not_fitted()
        for name, then in self.fitted_params_.items():
            now = getattr(self, name)
            if now != then:
                raise ConfigError(
                    f"{name} of this {type(self).__name__} was {then!r} when it was fitted and is "
                    f"{now!r} now: fit it again, or set it back",
                    parameter=name,
                    value=now,
                )
