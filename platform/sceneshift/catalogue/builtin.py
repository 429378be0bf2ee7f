"""What is known of published scenes and pairs: files, variables, classes, and the counts they were published with.

Nothing is read here; :mod:`sceneshift.catalogue.load` loads by these entries. Figures are "counted" from a file,
"published", or "remembered", that is to be checked against the release at hand. A unit is stated where a scene's
documents say it, or its numbers show it; otherwise it is unknown, and nothing is converted.

Shape letters: H rows, W columns, C bands, K classes, R materials.
"""

import numpy as np

from sceneshift.catalogue import indian_pines
from sceneshift.catalogue.entries import FilePairEntry, Files, FileVariable, PairEntry, SceneEntry

_FIVE_CLASSES = ("Corn-notill", "Grass-pasture", "Grass-trees", "Soybean-notill", "Soybean-mintill")
_THREE_CLASSES = ("Corn-notill", "Soybean-notill", "Soybean-mintill")

#: Buildings-Grass-Trees-Drives is left out of all of them: its field crosses the cut at column 72.
EMBEDDED_PAIRS = {
    "west-east": PairEntry(source_region="west", target_region="east", class_names=_FIVE_CLASSES),
    "east-west": PairEntry(source_region="east", target_region="west", class_names=_FIVE_CLASSES),
    "sw-se": PairEntry(source_region="sw", target_region="se", class_names=_FIVE_CLASSES),
    "se-sw": PairEntry(source_region="se", target_region="sw", class_names=_FIVE_CLASSES),
    "nw-ne": PairEntry(source_region="nw", target_region="ne", class_names=_THREE_CLASSES),
}

#: The pairs that are read from files. Where the two scenes differ in classes or bands they are aligned
#: (:mod:`sceneshift.scenes.alignment`): Jasper Ridge was seen by another sensor than Samson, which has no road, and the
#: MUUFL crop, whose road is called asphalt.
PAIRS = {
    "houston13-houston18": FilePairEntry(source="houston13", target="houston18"),
    "paviau-paviac": FilePairEntry(source="paviau", target="paviac"),
    "dioni-loukia": FilePairEntry(source="dioni", target="loukia"),
    "shanghai-hangzhou": FilePairEntry(source="shanghai", target="hangzhou"),
    "samson-jasper_ridge": FilePairEntry(source="samson", target="jasper_ridge"),
    "jasper_ridge-samson": FilePairEntry(source="jasper_ridge", target="samson"),
    "muufl-jasper_ridge": FilePairEntry(
        source="muufl", target="jasper_ridge", class_matches=(("tree", "tree"), ("road", "asphalt"))
    ),
    "jasper_ridge-muufl": FilePairEntry(
        source="jasper_ridge", target="muufl", class_matches=(("tree", "tree"), ("asphalt", "road"))
    ),
}

_HOUSTON = (
    "grass healthy",
    "grass stressed",
    "trees",
    "water",
    "residential buildings",
    "non-residential buildings",
    "road",
)
_PAVIA = ("tree", "asphalt", "brick", "bitumen", "shadow", "meadow", "bare soil")
_HYRANK = (
    "dense urban fabric",
    "mineral extraction sites",
    "non-irrigated arable land",
    "fruit trees",
    "olive groves",
    "coniferous forest",
    "dense sclerophyllous vegetation",
    "sparse sclerophyllous vegetation",
    "sparsely vegetated areas",
    "rocks and sand",
    "water",
    "coastal water",
)
_SHANGHAI = ("water", "land", "plant")
_BERLIN = (
    "forest",
    "residential area",
    "industrial area",
    "low plants",
    "soil",
    "allotment",
    "commercial area",
    "water",
)

#: The collection keeps the file names and variables that the literature's loaders ask for.
_CROSS_SCENE_COLLECTION = (
    "https://github.com/YuxiangZhang-BIT/Data-CSHSI (Zhang et al., doi 10.1109/TNNLS.2021.3109872)"
)
_SHANGHAI_AUTHORS = (
    "no address is known; ask the authors of Ye et al., IEEE TGRS 55, 2017 (dictionary-learning adaptation)"
)
_MULTIMODAL = "https://github.com/danfenghong/ISPRS_S2FL (Hong et al., ISPRS J. 178, 2021, 68-80)"
#: The two label maps are in a second repository of the same authors, from which they were counted.
_HYRANK_SCENES = (
    f"{_CROSS_SCENE_COLLECTION}; the label maps also at https://github.com/YuxiangZhang-BIT/IEEE_TNNLS_TSTnet, folder "
    "datasets/HyRANK"
)
_SALINAS = (
    "https://github.com/AngryCai/GraphConvSC, folder HSI_Datasets (from "
    "https://www.ehu.eus/ccwintco/index.php/Hyperspectral_Remote_Sensing_Scenes)"
)
_SAMSON = "https://github.com/UPCGIT/Hyperspectral-Unmixing-Models, folder Datasets (references: Zhu, arXiv:1708.05125)"
_JASPER_RIDGE = "https://github.com/shuaikaishi/PGMSU, folder dataset (references: Zhu, arXiv:1708.05125)"
_MUUFL = (
    "https://github.com/UPCGIT/Hyperspectral-Unmixing-Models, folder IEEE_TGRS_MUNet-main/data (the whole scene: "
    "https://github.com/GatorSense/MUUFLGulfport)"
)

#: Of files whose smallest number is 0 and whose largest is 1.
_OWN_EXTREMES = "0–1 by its own extremes"


def _cross_scene(cube: str, labels: str) -> tuple[Files, ...]:
    return (Files(cube=FileVariable(file=cube, name="ori_data"), labels=FileVariable(file=labels, name="map")),)


def _shanghai(cube: str, labels: str, number: int) -> tuple[Files, ...]:
    # The names inside DataCube.mat, and which of the two comes first, are remembered from loaders of that file.
    both = "DataCube.mat"
    together = Files(
        cube=FileVariable(file=both, name=f"DataCube{number}"), labels=FileVariable(file=both, name=f"gt{number}")
    )
    return (*_cross_scene(cube, labels), together)


_TRAIN_AND_TEST = Files(
    cube=FileVariable(file="data_HS_LR.mat", name="data_HS_LR"),
    train_mask=FileVariable(file="TrainImage.mat", name="TrainImage"),
    test_mask=FileVariable(file="TestImage.mat", name="TestImage"),
)

#: Centres of AVIRIS's 224 bands, by its four spectrometers, which overlap: the first and last of each as calibrated, in
#: even steps between, which is about a nanometre from the calibration at most. Even steps over the 380 to 2500 nm that
#: Jasper Ridge is published with are up to 20 nm off in the red, where plants' spectra are steepest.
_AVIRIS_NM = np.concatenate(
    [
        np.linspace(369.85, 675.62, 32),
        np.linspace(664.14, 1269.06, 64),
        np.linspace(1254.32, 1881.54, 64),
        np.linspace(1878.30, 2506.81, 64),
    ]
)

#: AVIRIS bands of Jasper Ridge left of 224, 1-based: those of water vapour and the first three are taken out.
_JASPER_BANDS = (*range(4, 108), *range(113, 154), *range(167, 220))

#: Centres of the crop's 64 bands: the fifth to the 68th of the 72 that MUUFL's target spectra are published with. Even
#: steps are within 0.13 nm of them.
_MUUFL_NM = np.linspace(405.8, 1005.3, 64)

SCENES = {
    indian_pines.NAME: SceneEntry(
        class_names=indian_pines.CLASS_NAMES,
        shape=(145, 145, 200),
        counts=(46, 1428, 830, 237, 483, 730, 28, 478, 20, 972, 2455, 593, 205, 1265, 386, 93),
        figures="counted",
        offered="comes with the package tensorly (Purdue University, doi 10.4231/R7RX991C)",
    ),
    "houston13": SceneEntry(
        class_names=_HOUSTON,
        shape=(210, 954, 48),
        counts=(345, 365, 365, 285, 319, 408, 443),
        figures="published (shape remembered)",
        offered=_CROSS_SCENE_COLLECTION,
        forms=_cross_scene("Houston13.mat", "Houston13_7gt.mat"),
    ),
    "houston18": SceneEntry(
        class_names=_HOUSTON,
        shape=(210, 954, 48),
        counts=(1353, 4888, 2766, 22, 5347, 32459, 6365),
        figures="published (shape remembered)",
        offered=_CROSS_SCENE_COLLECTION,
        forms=_cross_scene("Houston18.mat", "Houston18_7gt.mat"),
    ),
    "paviau": SceneEntry(
        class_names=_PAVIA,
        shape=(610, 340, 102),
        counts=(3064, 6631, 3682, 1330, 947, 18649, 5029),
        figures="counted (shape remembered)",
        offered=_CROSS_SCENE_COLLECTION,
        forms=_cross_scene("paviaU.mat", "paviaU_7gt.mat"),
    ),
    "paviac": SceneEntry(
        class_names=_PAVIA,
        shape=(1096, 715, 102),
        counts=(7598, 9248, 2685, 7287, 2863, 3090, 6584),
        figures="remembered",
        offered=_CROSS_SCENE_COLLECTION,
        forms=_cross_scene("paviaC.mat", "paviaC_7gt.mat"),
    ),
    "dioni": SceneEntry(
        class_names=_HYRANK,
        shape=(250, 1376, 176),
        counts=(1262, 204, 614, 150, 1768, 361, 5035, 6374, 1754, 492, 1612, 398),
        figures="counted",
        offered=_HYRANK_SCENES,
        sha256={"Dioni_gt_out68.mat": "24eb0f79423a63d2720067f60d779e9d9b1577dd59354af1557659d6846921b8"},
        forms=_cross_scene("Dioni.mat", "Dioni_gt_out68.mat"),
    ),
    "loukia": SceneEntry(
        class_names=_HYRANK,
        shape=(249, 945, 176),
        counts=(206, 54, 426, 79, 1107, 422, 2996, 2361, 399, 453, 1393, 421),
        figures="counted",
        offered=_HYRANK_SCENES,
        sha256={"Loukia_gt_out68.mat": "861a9d8680ee2885ab96ce65a9e64eacca9076affc86b8aae0713d5f26d042dc"},
        forms=_cross_scene("Loukia.mat", "Loukia_gt_out68.mat"),
    ),
    "shanghai": SceneEntry(
        class_names=_SHANGHAI,
        shape=(1600, 230, 198),
        counts=(123123, 161689, 83188),
        figures="remembered",
        offered=_SHANGHAI_AUTHORS,
        forms=_shanghai("Shanghai.mat", "Shanghai_gt.mat", 1),
    ),
    "hangzhou": SceneEntry(
        class_names=_SHANGHAI,
        shape=(590, 230, 198),
        counts=(18043, 77450, 40207),
        figures="remembered",
        offered=_SHANGHAI_AUTHORS,
        forms=_shanghai("Hangzhou.mat", "Hangzhou_gt.mat", 2),
    ),
    "berlin": SceneEntry(
        class_names=_BERLIN,
        shape=(1723, 476, 244),
        counts=None,
        figures="published",
        offered=_MULTIMODAL,
        forms=(_TRAIN_AND_TEST,),
    ),
    "augsburg": SceneEntry(
        class_names=tuple(name for name in _BERLIN if name != "soil"),
        shape=(332, 485, 180),
        counts=None,
        figures="published",
        offered=_MULTIMODAL,
        forms=(_TRAIN_AND_TEST,),
    ),
    "salinas_a": SceneEntry(
        class_names=(
            "Brocoli_green_weeds_1",
            "Corn_senesced_green_weeds",
            "Lettuce_romaine_4wk",
            "Lettuce_romaine_5wk",
            "Lettuce_romaine_6wk",
            "Lettuce_romaine_7wk",
        ),
        shape=(83, 86, 204),
        counts=(391, 1343, 616, 1525, 674, 799),
        figures="counted",
        offered=_SALINAS,
        sha256={
            "SalinasA_corrected.mat": "d75684ed3ab71a1024cee0f9db9061f50a3523a92ff5edfbbb1eed976b9f1721",
            "SalinasA_gt.mat": "17814c1d3296c0e29b27f320f2c4174d2a68adb87e376abe78f02923e2c2e454",
        },
        forms=(
            Files(
                cube=FileVariable(file="SalinasA_corrected.mat", name="salinasA_corrected"),
                labels=FileVariable(file="SalinasA_gt.mat", name="salinasA_gt"),
            ),
        ),
        label_values=(1, 10, 11, 12, 13, 14),  # the numbers of the whole Salinas scene
    ),
    "samson": SceneEntry(
        class_names=("soil", "tree", "water"),
        shape=(95, 95, 156),
        counts=(2836, 3592, 2302),
        figures="counted",
        offered=_SAMSON,
        unit=_OWN_EXTREMES,
        sha256={"Samson.mat": "49530e80d0dabf6b1fb9cde2d6cf257f89a344afe9c13b2cc912eb22f344de18"},
        forms=(
            Files(
                cube=FileVariable(file="Samson.mat", name="Y"),
                bands_by_pixels=True,
                abundances=FileVariable(file="Samson.mat", name="S_GT"),
                endmembers=FileVariable(file="Samson.mat", name="GT"),
            ),
        ),
        wavelengths_nm=tuple(np.linspace(401, 889, 156).tolist()),
    ),
    "jasper_ridge": SceneEntry(
        class_names=("tree", "water", "soil", "road"),
        shape=(100, 100, 198),
        counts=(3412, 3310, 2256, 661),
        figures="counted",
        offered=_JASPER_RIDGE,
        scale=10_000,
        unit="reflectance",
        sha256={
            "JasperRidge2_R198.mat": "0e4118a6452f6044978a8ca3762fb0f791115467904936d463c4e111e56e682e",
            "JasperRidge2_end4.mat": "92f5697b43705802b904fd13ba99b6ce65a3d203682864abc3fbec922beec374",
        },
        forms=(
            Files(
                cube=FileVariable(file="JasperRidge2_R198.mat", name="Y"),
                bands_by_pixels=True,
                abundances=FileVariable(file="JasperRidge2_end4.mat", name="A"),
                endmembers=FileVariable(file="JasperRidge2_end4.mat", name="M"),
            ),
        ),
        wavelengths_nm=tuple(_AVIRIS_NM[np.array(_JASPER_BANDS) - 1].tolist()),
    ),
    "muufl": SceneEntry(
        class_names=("roof", "grass", "tree", "shadow", "asphalt"),
        shape=(90, 90, 64),
        counts=(1535, 1909, 1177, 2165, 1078),
        figures="counted",
        offered=_MUUFL,
        unit=_OWN_EXTREMES,
        sha256={"muffle_dataset_130_90.mat": "207a19630faf445eccc403f3ccea0e85d898f8458200d225b34e618372cbf3cd"},
        forms=(
            Files(
                cube=FileVariable(file="muffle_dataset_130_90.mat", name="Y"),
                abundances=FileVariable(file="muffle_dataset_130_90.mat", name="label"),
                endmembers=FileVariable(file="muffle_dataset_130_90.mat", name="M"),
            ),
        ),
        wavelengths_nm=tuple(_MUUFL_NM.tolist()),
    ),
}
