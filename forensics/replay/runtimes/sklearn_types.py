"""What a scikit-learn file (skops) may hold: exact types, read from its schema before it is loaded.

skops itself trusts every public estimator and numpy's functions; here a type is allowed when it is
an estimator or preprocessing step of tables, or one of their parts, whose ``fit`` state is numbers,
texts and arrays. Functions, partial functions, methods and any other type are refused by name.
https://skops.readthedocs.io/en/stable/persistence.html
"""

from __future__ import annotations

import io
import json
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

from forensics.replay.runtimes.interface import ModelRefusedError
from forensics.replay.runtimes.packages import brief, release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def _names(text: str) -> frozenset[str]:
    """``module: Class Class`` by line, as full names."""
    found: set[str] = set()
    for line in text.split("\n"):
        module, _, classes = line.strip().partition(": ")
        found.update(f"{module}.{name}" for name in classes.split())
    return frozenset(found)


#: Estimators and steps whose answer to a row depends, in its last bits, on how many rows there are,
#: since they multiply matrices.
MATRIX_TYPES = _names(
    """
    sklearn.decomposition._pca: PCA
    sklearn.decomposition._truncated_svd: TruncatedSVD
    sklearn.discriminant_analysis: LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis
    sklearn.linear_model._base: LinearRegression
    sklearn.linear_model._bayes: ARDRegression BayesianRidge
    sklearn.linear_model._coordinate_descent: ElasticNet ElasticNetCV Lasso LassoCV
    sklearn.linear_model._glm.glm: GammaRegressor PoissonRegressor TweedieRegressor
    sklearn.linear_model._huber: HuberRegressor
    sklearn.linear_model._least_angle: Lars LarsCV LassoLars LassoLarsCV LassoLarsIC
    sklearn.linear_model._logistic: LogisticRegression LogisticRegressionCV
    sklearn.linear_model._passive_aggressive: PassiveAggressiveClassifier PassiveAggressiveRegressor
    sklearn.linear_model._perceptron: Perceptron
    sklearn.linear_model._quantile: QuantileRegressor
    sklearn.linear_model._ridge: Ridge RidgeCV RidgeClassifier RidgeClassifierCV
    sklearn.linear_model._stochastic_gradient: SGDClassifier SGDRegressor
    sklearn.linear_model._theil_sen: TheilSenRegressor
    sklearn.naive_bayes: BernoulliNB ComplementNB MultinomialNB
    sklearn.neural_network._multilayer_perceptron: MLPClassifier MLPRegressor
    sklearn.preprocessing._polynomial: PolynomialFeatures
    sklearn.svm._classes: LinearSVC LinearSVR
    """
)

#: Estimators and steps that answer each row by itself.
_ROW_TYPES = _names(
    """
    sklearn.calibration: CalibratedClassifierCV _CalibratedClassifier _SigmoidCalibration
    sklearn.compose._column_transformer: ColumnTransformer _RemainderColsList
    sklearn.compose._column_transformer: make_column_selector
    sklearn.compose._target: TransformedTargetRegressor
    sklearn.dummy: DummyClassifier DummyRegressor
    sklearn.ensemble._bagging: BaggingClassifier BaggingRegressor
    sklearn.ensemble._forest: ExtraTreesClassifier ExtraTreesRegressor
    sklearn.ensemble._forest: RandomForestClassifier RandomForestRegressor
    sklearn.ensemble._gb: GradientBoostingClassifier GradientBoostingRegressor
    sklearn.ensemble._hist_gradient_boosting.gradient_boosting: HistGradientBoostingClassifier
    sklearn.ensemble._hist_gradient_boosting.gradient_boosting: HistGradientBoostingRegressor
    sklearn.ensemble._iforest: IsolationForest
    sklearn.ensemble._stacking: StackingClassifier StackingRegressor
    sklearn.ensemble._voting: VotingClassifier VotingRegressor
    sklearn.ensemble._weight_boosting: AdaBoostClassifier AdaBoostRegressor
    sklearn.feature_selection._from_model: SelectFromModel
    sklearn.feature_selection._variance_threshold: VarianceThreshold
    sklearn.frozen._frozen: FrozenEstimator
    sklearn.impute._base: MissingIndicator SimpleImputer
    sklearn.isotonic: IsotonicRegression
    sklearn.model_selection._classification_threshold: FixedThresholdClassifier
    sklearn.multiclass: OneVsRestClassifier _ConstantPredictor
    sklearn.naive_bayes: CategoricalNB GaussianNB
    sklearn.pipeline: FeatureUnion Pipeline
    sklearn.preprocessing._data: Binarizer MaxAbsScaler MinMaxScaler Normalizer PowerTransformer
    sklearn.preprocessing._data: QuantileTransformer RobustScaler StandardScaler
    sklearn.preprocessing._discretization: KBinsDiscretizer
    sklearn.preprocessing._encoders: OneHotEncoder OrdinalEncoder
    sklearn.preprocessing._function_transformer: FunctionTransformer
    sklearn.preprocessing._label: LabelBinarizer LabelEncoder
    sklearn.preprocessing._target_encoder: TargetEncoder
    sklearn.svm._classes: NuSVC NuSVR SVC SVR
    sklearn.tree._classes: DecisionTreeClassifier DecisionTreeRegressor
    sklearn.tree._classes: ExtraTreeClassifier ExtraTreeRegressor
    """
)

#: Parts of the above: loss functions and links, of all versions that had them, bins, trees.
_PARTS = _names(
    """
    sklearn._loss.link: HalfLogitLink IdentityLink Interval LogLink LogitLink MultinomialLogit
    sklearn._loss.loss: AbsoluteError ExponentialLoss HalfBinomialLoss HalfGammaLoss HuberLoss
    sklearn._loss.loss: HalfMultinomialLoss HalfPoissonLoss HalfSquaredError HalfTweedieLoss
    sklearn._loss.loss: HalfTweedieLossIdentity PinballLoss
    sklearn.ensemble._gb_losses: BinomialDeviance ExponentialLoss HuberLossFunction
    sklearn.ensemble._gb_losses: LeastAbsoluteError LeastSquaresError MultinomialDeviance
    sklearn.ensemble._gb_losses: QuantileLossFunction
    sklearn.ensemble._hist_gradient_boosting.binning: _BinMapper
    sklearn.ensemble._hist_gradient_boosting.predictor: TreePredictor
    sklearn.neural_network._stochastic_optimizers: AdamOptimizer SGDOptimizer
    """
)
_LOSSES = _names(
    """
    sklearn._loss._loss: CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss
    sklearn._loss._loss: CyHalfMultinomialLoss CyHalfPoissonLoss CyHalfSquaredError
    sklearn._loss._loss: CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss
    _loss: CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss
    _loss: CyHalfMultinomialLoss CyHalfPoissonLoss CyHalfSquaredError
    _loss: CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss
    sklearn.linear_model._sgd_fast: EpsilonInsensitive Hinge Huber Log ModifiedHuber SquaredHinge
    sklearn.linear_model._sgd_fast: SquaredEpsilonInsensitive SquaredLoss
    """
)
_SCALARS = _names(
    """
    numpy: bool bool_ float16 float32 float64 int8 int16 int32 int64 str_ uint8 uint16 uint32 uint64
    """
)

_OBJECTS = MATRIX_TYPES | _ROW_TYPES | _PARTS

#: Types by the node of a skops schema that makes them; a node that is not here is refused.
_ALLOWED: dict[str, frozenset[str] | None] = {
    "CachedNode": None,  # a reference to another node, of whichever type
    "DTypeNode": frozenset({"numpy.dtype"}),
    "DictNode": _names("builtins: dict\ncollections: OrderedDict\nsklearn.utils._bunch: Bunch"),
    "JsonNode": frozenset({"builtins.str"}),
    "ListNode": frozenset({"builtins.list"}),
    "LossNode": _LOSSES,
    "NdArrayNode": _SCALARS | {"numpy.ndarray"},
    "ObjectNode": _OBJECTS,
    "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
    "SetNode": frozenset({"builtins.set"}),
    "SliceNode": frozenset({"builtins.slice"}),
    "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "TypeNode": _SCALARS
    | _names("builtins: bool dict float int list object str tuple\nnumpy: number"),
}

#: Types that skops does not trust by itself: their arrays are checked by
#: :mod:`forensics.replay.runtimes.sklearn_trees` once they are loaded.
TRUSTED = tuple(
    sorted({*_OBJECTS, *_LOSSES, "numpy.dtype", "sklearn.tree._tree.Tree",
            "sklearn.utils._bunch.Bunch", "collections.OrderedDict"})
)  # fmt: skip


class Schema(NamedTuple):
    """What a file says before it is loaded.

    Attributes:
        types: of the estimators, steps and their parts in it.
        sklearn: version of scikit-learn that the newest of them was fitted under; empty if none
            says.
        skops: version of skops that wrote the file.
    """

    types: frozenset[str]
    sklearn: str
    skops: str


def read_schema(data: bytes) -> Schema:
    """The file's schema, all of whose types are allowed.

    Raises:
        ModelRefusedError: when it is no whole skops file, or holds a type that is not allowed.
    """
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            document = json.loads(archive.read("schema.json"))
            broken = archive.testzip()
    except (
        BadZipFile,
        KeyError,
        ValueError,
        OSError,
        RecursionError,
        NotImplementedError,
    ) as error:
        raise ModelRefusedError(f"it is not a whole skops file: {brief(error)}") from error
    if broken:
        raise ModelRefusedError(f"it is not a whole skops file: {broken} is damaged")
    types, refused, versions = set(), set(), set()
    for node in _nodes(document):
        loader, name = str(node.get("__loader__")), _name(node)
        allowed = _ALLOWED.get(loader, frozenset())
        if allowed is not None and name not in allowed:
            refused.add(f"{name} ({loader})" if loader not in _ALLOWED else name)
        if loader == "ObjectNode":
            types.add(name)
            versions.add(_version(node))
    if refused:
        raise ModelRefusedError(
            f"the file holds what is not trusted here: {', '.join(sorted(refused)[:5])}",
            "Save a model of scikit-learn's own estimators and steps, without functions.",
        )
    if not types:
        raise ModelRefusedError("the file holds no estimator")
    newest = max(versions, key=release)
    return Schema(frozenset(types), newest, str(document.get("_skops_version", "")))


def _nodes(document: Any) -> Iterator[dict[str, Any]]:
    """Every object of the schema that says how it is to be loaded."""
    pending = [document]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if "__loader__" in item or "__class__" in item or "__module__" in item:
                yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def _name(node: dict[str, Any]) -> str:
    return f"{node.get('__module__')}.{node.get('__class__')}"


def _version(node: dict[str, Any]) -> str:
    """The version of scikit-learn that an estimator's state names; empty text if none."""
    try:
        return str(json.loads(node["content"]["content"]["_sklearn_version"]["content"]))
    except (KeyError, TypeError, ValueError):
        return ""
