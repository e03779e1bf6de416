"""BibTeX of the papers behind a strategy and a space.

One literal says which papers belong to what, another holds the papers. Only what is certain stands in an entry.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeAlias

from gnas.space import SPACES, Space
from gnas.strategy import STRATEGIES, Strategy
from gnas.zero_cost import SCORES

Entry: TypeAlias = tuple[str, dict[str, str]]

PAPERS: dict[str, tuple[str, ...]] = {
    "agnn": ("zhou2019autognn", "gao2020graphnas", "williams1992reinforce"),
    "cma_es": ("hansen2001cmaes", "akiba2019optuna"),
    "darts": ("liu2019darts",),
    "drnas": ("chen2021drnas",),
    "evolution": ("real2019regularized",),
    "few_shot": ("hu2022gradient", "zhao2021fewshot"),
    "gdas": ("dong2019gdas", "xie2019snas"),
    "gold_nas": ("bi2020gold",),
    "gp": ("snoek2012practical", "akiba2019optuna"),
    "local": ("white2020local",),
    "manas": ("lopes2019manas",),
    "nac": ("xu2023nac",),
    "nas_bowl": ("ru2021nasbowl", "shervashidze2011weisfeiler"),
    "nsga2": ("deb2002nsga2", "akiba2019optuna"),
    "pc_darts": ("xu2020pcdarts",),
    "progressive": ("chen2019pdarts", "li2020sgas", "cai2022argnp"),
    "proxyless": ("cai2019proxyless",),
    "random": ("li2019random",),
    "random_sharing": ("li2019random",),
    "reinforce": ("gao2020graphnas", "williams1992reinforce"),
    "single_path": ("guo2020singlepath",),
    "surrogate": ("jones1998efficient", "ru2021nasbowl"),
    "tpe": ("bergstra2011algorithms", "akiba2019optuna"),
}
"""Papers by name of strategy."""

SETTINGS: dict[str, tuple[str, ...]] = {
    "BinaryGates": ("cai2019proxyless",),
    "CostTerm": ("cai2019proxyless", "wu2019fbnet"),
    "Dirichlet": ("chen2021drnas",),
    "EigenvalueStop": ("zela2020understanding",),
    "Fisher": ("turner2020blockswap", "theis2018faster"),
    "Flatness": ("jeong2023genas",),
    "GradientNorm": ("abdelfattah2021zerocost",),
    "Gumbel": ("xie2019snas", "dong2019gdas"),
    "MaxW": ("hundt2019sharpdarts",),
    "NtkCondition": ("chen2021tenas",),
    "OnePath": ("cai2019proxyless",),
    "Overlap": ("mellor2021neural",),
    "Perturbation": ("chen2020stabilizing",),
    "Selection": ("wang2021rethinking",),
    "Sigmoid": ("chu2020fair",),
    "Synflow": ("tanaka2020synflow", "abdelfattah2021zerocost"),
    "TwoPaths": ("cai2019proxyless",),
}
"""Papers by the class of what a strategy may be set to."""

NUMBERS: dict[str, tuple[str, ...]] = {
    "auxiliary": ("chu2021dartsminus",),
    "beta": ("ye2022beta",),
    "eigenvalue": ("zela2020understanding",),
    "partial": ("xu2020pcdarts",),
    "power": ("hundt2019sharpdarts",),
    "zero_one": ("chu2020fair",),
}
"""Papers by the name of a setting that is off by default."""

SPACE_PAPERS: dict[str, tuple[str, ...]] = {
    "bench": ("qin2022nasbenchgraph",),
    "gap": ("cai2021gnasmp",),
    "layered": ("zhao2021sane", "wu2019sgc", "klicpera2019appnp", "chen2020gcnii"),
    "pooling": ("wei2021pas",),
    "relational": ("cai2021egnas", "cai2022argnp"),
    "sane": ("zhao2021sane",),
}
"""Papers by name of space."""


def citation(
    strategy: str | type[Strategy[Any]] | Strategy[Any] | None = None, space: str | Space | None = None
) -> str:
    """BibTeX of the papers behind a strategy and a space.

    Of an object also the papers of what it is set to count: a relaxation, or the strategy inside of another.

    Args:
        strategy: A strategy, its class, or its name. A class of one's own has the papers of what it derives from.
        space: A space, or its name.

    Raises:
        ValueError: There is no such name, or no paper is known.
    """
    if strategy is None and space is None:
        raise ValueError("citation got neither a strategy nor a space; expected one, try citation('darts', 'layered')")
    keys = [*(_of_strategy(strategy) if strategy is not None else ())]
    keys += _of_space(space) if space is not None else ()
    return "\n\n".join(_bibtex(key) for key in dict.fromkeys(keys)) + "\n"


def _of_strategy(strategy: str | type[Strategy[Any]] | Strategy[Any]) -> Iterator[str]:
    if isinstance(strategy, str):
        if strategy not in STRATEGIES:
            raise ValueError(f"citation got the strategy {strategy!r}; expected one of {sorted(STRATEGIES)}")
        strategy = STRATEGIES[strategy]
    kind = strategy if isinstance(strategy, type) else type(strategy)
    names = [each.__dict__["name"] for each in kind.__mro__ if "name" in each.__dict__]
    known = next((PAPERS[name] for name in names if name in PAPERS), None)
    if known is None:
        raise ValueError(
            f"citation knows no paper of {kind.__name__}; expected one of {sorted(PAPERS)}, or a class derived from one"
        )
    yield from known
    if not isinstance(strategy, type):
        yield from _of_settings(strategy)


def _of_settings(settings: Any) -> Iterator[str]:
    """Papers of what something is set to, and of what that is set to."""
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        for each in value if isinstance(value, tuple) else (value,):
            if entry.name in ("score", "scores") and isinstance(each, str):
                each = SCORES[each]()
            if isinstance(each, Strategy):
                yield from _of_strategy(each)
                continue
            yield from SETTINGS.get(type(each).__name__, ())
            yield from NUMBERS.get(entry.name, ()) if each != entry.default else ()
            if dataclasses.is_dataclass(each) and not isinstance(each, type):
                yield from _of_settings(each)


def _of_space(space: str | Space) -> tuple[str, ...]:
    name = space.name if isinstance(space, Space) else space
    if name not in SPACE_PAPERS:
        raise ValueError(f"citation knows no paper of the space {name!r}; expected one of {sorted(SPACES)}")
    return SPACE_PAPERS[name]


def _bibtex(key: str) -> str:
    kind, fields = ENTRIES[key]
    width = max(map(len, fields))
    lines = [f"  {name:<{width}} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _paper(venue: str, year: int, author: str, title: str, arxiv: str | None = None) -> Entry:
    fields = {"author": author, "title": title, "booktitle": venue, "year": str(year)}
    return "inproceedings", {**fields, **({} if arxiv is None else _eprint(arxiv))}


def _article(journal: str, volume: int, year: int, author: str, title: str, number: int | None = None) -> Entry:
    fields = {"author": author, "title": title, "journal": journal, "volume": str(volume), "year": str(year)}
    return "article", {**fields, **({} if number is None else {"number": str(number)})}


def _preprint(arxiv: str, year: int, author: str, title: str) -> Entry:
    return "misc", {"author": author, "title": title, "year": str(year), **_eprint(arxiv)}


def _eprint(arxiv: str) -> dict[str, str]:
    return {"eprint": arxiv, "archiveprefix": "arXiv"}


CVPR = "IEEE/CVF Conference on Computer Vision and Pattern Recognition"
ECCV = "European Conference on Computer Vision"
ICLR = "International Conference on Learning Representations"
ICML = "International Conference on Machine Learning"

ENTRIES: dict[str, Entry] = {
    "abdelfattah2021zerocost": _paper(
        ICLR,
        2021,
        "Mohamed S. Abdelfattah and Abhinav Mehrotra and Łukasz Dudziak and Nicholas D. Lane",
        "Zero-Cost Proxies for Lightweight {NAS}",
        "2101.08134",
    ),
    "akiba2019optuna": _paper(
        "Proceedings of the 25th ACM SIGKDD International Conference on Knowledge Discovery and Data Mining",
        2019,
        "Takuya Akiba and Shotaro Sano and Toshihiko Yanase and Takeru Ohta and Masanori Koyama",
        "Optuna: A Next-generation Hyperparameter Optimization Framework",
        "1907.10902",
    ),
    "bergstra2011algorithms": _paper(
        "Advances in Neural Information Processing Systems 24",
        2011,
        r"James Bergstra and R{\'e}mi Bardenet and Yoshua Bengio and Bal{\'a}zs K{\'e}gl",
        "Algorithms for Hyper-Parameter Optimization",
    ),
    "bi2020gold": _preprint(
        "2007.03331",
        2020,
        "Kaifeng Bi and Lingxi Xie and Xin Chen and Longhui Wei and Qi Tian",
        "{GOLD-NAS}: Gradual, One-Level, Differentiable",
    ),
    "cai2019proxyless": _paper(
        ICLR,
        2019,
        "Han Cai and Ligeng Zhu and Song Han",
        "{ProxylessNAS}: Direct Neural Architecture Search on Target Task and Hardware",
        "1812.00332",
    ),
    "cai2021egnas": _preprint(
        "2109.01356",
        2021,
        "Shaofei Cai and Liang Li and Xinzhe Han and Zheng-Jun Zha and Qingming Huang",
        "Edge-featured Graph Neural Architecture Search",
    ),
    "cai2021gnasmp": _paper(
        CVPR,
        2021,
        "Shaofei Cai and Liang Li and Jincan Deng and Beichen Zhang and Zheng-Jun Zha and Li Su and Qingming Huang",
        "Rethinking Graph Neural Architecture Search from Message-passing",
        "2103.14282",
    ),
    "cai2022argnp": _paper(
        CVPR,
        2022,
        "Shaofei Cai and Liang Li and Xinzhe Han and Jiebo Luo and Zheng-Jun Zha and Qingming Huang",
        "Automatic Relation-aware Graph Network Proliferation",
        "2205.15678",
    ),
    "chen2019pdarts": _paper(
        "IEEE/CVF International Conference on Computer Vision",
        2019,
        "Xin Chen and Lingxi Xie and Jun Wu and Qi Tian",
        "Progressive Differentiable Architecture Search: Bridging the Depth Gap between Search and Evaluation",
        "1904.12760",
    ),
    "chen2020gcnii": _paper(
        ICML,
        2020,
        "Ming Chen and Zhewei Wei and Zengfeng Huang and Bolin Ding and Yaliang Li",
        "Simple and Deep Graph Convolutional Networks",
        "2007.02133",
    ),
    "chen2020stabilizing": _paper(
        ICML,
        2020,
        "Xiangning Chen and Cho-Jui Hsieh",
        "Stabilizing Differentiable Architecture Search via Perturbation-based Regularization",
        "2002.05283",
    ),
    "chen2021drnas": _paper(
        ICLR,
        2021,
        "Xiangning Chen and Ruochen Wang and Minhao Cheng and Xiaocheng Tang and Cho-Jui Hsieh",
        "{DrNAS}: Dirichlet Neural Architecture Search",
        "2006.10355",
    ),
    "chen2021tenas": _paper(
        ICLR,
        2021,
        "Wuyang Chen and Xinyu Gong and Zhangyang Wang",
        "Neural Architecture Search on {ImageNet} in Four {GPU} Hours: A Theoretically Inspired Perspective",
        "2102.11535",
    ),
    "chu2020fair": _paper(
        ECCV,
        2020,
        "Xiangxiang Chu and Tianbao Zhou and Bo Zhang and Jixiang Li",
        "{Fair DARTS}: Eliminating Unfair Advantages in Differentiable Architecture Search",
        "1911.12126",
    ),
    "chu2021dartsminus": _paper(
        ICLR,
        2021,
        "Xiangxiang Chu and Xiaoxing Wang and Bo Zhang and Shun Lu and Xiaolin Wei and Junchi Yan",
        "{DARTS-}: Robustly Stepping out of Performance Collapse Without Indicators",
        "2009.01027",
    ),
    "deb2002nsga2": _article(
        "IEEE Transactions on Evolutionary Computation",
        6,
        2002,
        "Kalyanmoy Deb and Amrit Pratap and Sameer Agarwal and T. Meyarivan",
        "A Fast and Elitist Multiobjective Genetic Algorithm: {NSGA-II}",
        number=2,
    ),
    "dong2019gdas": _paper(
        CVPR,
        2019,
        "Xuanyi Dong and Yi Yang",
        "Searching for a Robust Neural Architecture in Four {GPU} Hours",
        "1910.04465",
    ),
    "gao2020graphnas": _paper(
        "International Joint Conference on Artificial Intelligence",
        2020,
        "Yang Gao and Hong Yang and Peng Zhang and Chuan Zhou and Yue Hu",
        "Graph Neural Architecture Search",
        "1904.09981",
    ),
    "guo2020singlepath": _paper(
        ECCV,
        2020,
        "Zichao Guo and Xiangyu Zhang and Haoyuan Mu and Wen Heng and Zechun Liu and Yichen Wei and Jian Sun",
        "Single Path One-Shot Neural Architecture Search with Uniform Sampling",
        "1904.00420",
    ),
    "hansen2001cmaes": _article(
        "Evolutionary Computation",
        9,
        2001,
        "Nikolaus Hansen and Andreas Ostermeier",
        "Completely Derandomized Self-Adaptation in Evolution Strategies",
        number=2,
    ),
    "hu2022gradient": _paper(
        ICLR,
        2022,
        "Shoukang Hu and Ruochen Wang and Lanqing Hong and Zhenguo Li and Cho-Jui Hsieh and Jiashi Feng",
        "Generalizing Few-Shot {NAS} with Gradient Matching",
        "2203.15207",
    ),
    "hundt2019sharpdarts": _preprint(
        "1903.09900",
        2019,
        "Andrew Hundt and Varun Jain and Gregory D. Hager",
        "{sharpDARTS}: Faster and More Accurate Differentiable Architecture Search",
    ),
    "jeong2023genas": _paper(
        "International Joint Conference on Artificial Intelligence",
        2023,
        "Joonhyun Jeong and Joonsang Yu and Geondo Park and Dongyoon Han and YoungJoon Yoo",
        "{GeNAS}: Neural Architecture Search with Better Generalization",
        "2305.08611",
    ),
    "klicpera2019appnp": _paper(
        ICLR,
        2019,
        r"Johannes Klicpera and Aleksandar Bojchevski and Stephan G{\"u}nnemann",
        "Predict then Propagate: Graph Neural Networks meet Personalized {PageRank}",
        "1810.05997",
    ),
    "jones1998efficient": _article(
        "Journal of Global Optimization",
        13,
        1998,
        "Donald R. Jones and Matthias Schonlau and William J. Welch",
        "Efficient Global Optimization of Expensive Black-Box Functions",
        4,
    ),
    "li2019random": _paper(
        "Conference on Uncertainty in Artificial Intelligence",
        2019,
        "Liam Li and Ameet Talwalkar",
        "Random Search and Reproducibility for Neural Architecture Search",
        "1902.07638",
    ),
    "li2020sgas": _paper(
        CVPR,
        2020,
        r"Guohao Li and Guocheng Qian and Itzel C. Delgadillo and Matthias M{\"u}ller and Ali Thabet and "
        r"Bernard Ghanem",
        "{SGAS}: Sequential Greedy Architecture Search",
        "1912.00195",
    ),
    "liu2019darts": _paper(
        ICLR,
        2019,
        "Hanxiao Liu and Karen Simonyan and Yiming Yang",
        "{DARTS}: Differentiable Architecture Search",
        "1806.09055",
    ),
    "lopes2019manas": _preprint(
        "1909.01051",
        2019,
        "Vasco Lopes and Fabio Maria Carlucci and others",
        "{MANAS}: Multi-Agent Neural Architecture Search",
    ),
    "mellor2021neural": _paper(
        ICML,
        2021,
        "Joseph Mellor and Jack Turner and Amos Storkey and Elliot J. Crowley",
        "Neural Architecture Search without Training",
        "2006.04647",
    ),
    "qin2022nasbenchgraph": _paper(
        "Advances in Neural Information Processing Systems, Datasets and Benchmarks Track",
        2022,
        "Yijian Qin and Ziwei Zhang and Xin Wang and Zeyang Zhang and Wenwu Zhu",
        "{NAS-Bench-Graph}: Benchmarking Graph Neural Architecture Search",
        "2206.09166",
    ),
    "real2019regularized": _paper(
        "AAAI Conference on Artificial Intelligence",
        2019,
        "Esteban Real and Alok Aggarwal and Yanping Huang and Quoc V. Le",
        "Regularized Evolution for Image Classifier Architecture Search",
        "1802.01548",
    ),
    "ru2021nasbowl": _paper(
        ICLR,
        2021,
        "Binxin Ru and Xingchen Wan and Xiaowen Dong and Michael A. Osborne",
        "Interpretable Neural Architecture Search via {Bayesian} Optimisation with {Weisfeiler-Lehman} Kernels",
        "2006.07556",
    ),
    "shervashidze2011weisfeiler": _article(
        "Journal of Machine Learning Research",
        12,
        2011,
        "Nino Shervashidze and Pascal Schweitzer and Erik Jan van Leeuwen and Kurt Mehlhorn and Karsten M. Borgwardt",
        "{Weisfeiler-Lehman} Graph Kernels",
    ),
    "snoek2012practical": _paper(
        "Advances in Neural Information Processing Systems 25",
        2012,
        "Jasper Snoek and Hugo Larochelle and Ryan P. Adams",
        "Practical {Bayesian} Optimization of Machine Learning Algorithms",
        "1206.2944",
    ),
    "tanaka2020synflow": _paper(
        "Advances in Neural Information Processing Systems 33",
        2020,
        "Hidenori Tanaka and Daniel Kunin and Daniel L. K. Yamins and Surya Ganguli",
        "Pruning Neural Networks without any Data by Iteratively Conserving Synaptic Flow",
        "2006.05467",
    ),
    "theis2018faster": _preprint(
        "1801.05787",
        2018,
        "Lucas Theis and Iryna Korshunova and Alykhan Tejani and Ferenc Huszár",
        "Faster Gaze Prediction with Dense Networks and {Fisher} Pruning",
    ),
    "turner2020blockswap": _paper(
        ICLR,
        2020,
        "Jack Turner and Elliot J. Crowley and Michael O'Boyle and Amos Storkey and Gavin Gray",
        "{BlockSwap}: {Fisher}-guided Block Substitution for Network Compression on a Budget",
        "1906.04113",
    ),
    "wang2021rethinking": _paper(
        ICLR,
        2021,
        "Ruochen Wang and Minhao Cheng and Xiangning Chen and Xiaocheng Tang and Cho-Jui Hsieh",
        "Rethinking Architecture Selection in Differentiable {NAS}",
        "2108.04392",
    ),
    "wei2021pas": _paper(
        "ACM International Conference on Information and Knowledge Management",
        2021,
        "Lanning Wei and Huan Zhao and Quanming Yao and Zhiqiang He",
        "Pooling Architecture Search for Graph Classification",
        "2108.10587",
    ),
    "white2020local": _preprint(
        "2005.02960",
        2020,
        "Colin White and Sam Nolen and Yash Savani",
        "Local Search is State of the Art for {NAS} Benchmarks",
    ),
    "williams1992reinforce": _article(
        "Machine Learning",
        8,
        1992,
        "Ronald J. Williams",
        "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning",
    ),
    "wu2019fbnet": _paper(
        CVPR,
        2019,
        "Bichen Wu and Xiaoliang Dai and Peizhao Zhang and Yanghan Wang and Fei Sun and Yiming Wu and Yuandong Tian "
        "and Peter Vajda and Yangqing Jia and Kurt Keutzer",
        "{FBNet}: Hardware-Aware Efficient {ConvNet} Design via Differentiable Neural Architecture Search",
        "1812.03443",
    ),
    "wu2019sgc": _paper(
        ICML,
        2019,
        "Felix Wu and Amauri Souza and Tianyi Zhang and Christopher Fifty and Tao Yu and Kilian Q. Weinberger",
        "Simplifying Graph Convolutional Networks",
        "1902.07153",
    ),
    "xie2019snas": _paper(
        ICLR,
        2019,
        "Sirui Xie and Hehui Zheng and Chunxiao Liu and Liang Lin",
        "{SNAS}: Stochastic Neural Architecture Search",
        "1812.09926",
    ),
    "xu2020pcdarts": _paper(
        ICLR,
        2020,
        "Yuhui Xu and Lingxi Xie and Xiaopeng Zhang and Xin Chen and Guo-Jun Qi and Qi Tian and Hongkai Xiong",
        "{PC-DARTS}: Partial Channel Connections for Memory-Efficient Architecture Search",
        "1907.05737",
    ),
    "xu2023nac": _paper(
        ICML,
        2023,
        "Peng Xu and Lin Zhang and Xuanzhou Liu and Jiaqi Sun and Yue Zhao and Haiqin Yang and Bei Yu",
        "Do Not Train It: A Linear Neural Architecture Search of Graph Neural Networks",
        "2305.14065",
    ),
    "ye2022beta": _paper(
        CVPR,
        2022,
        "Peng Ye and Baopu Li and Yikang Li and Tao Chen and Jiayuan Fan and Wanli Ouyang",
        r"{$\beta$-DARTS}: Beta-Decay Regularization for Differentiable Architecture Search",
        "2203.01665",
    ),
    "zela2020understanding": _paper(
        ICLR,
        2020,
        "Arber Zela and Thomas Elsken and Tonmoy Saikia and Yassine Marrakchi and Thomas Brox and Frank Hutter",
        "Understanding and Robustifying Differentiable Architecture Search",
        "1909.09656",
    ),
    "zhao2021fewshot": _paper(
        ICML,
        2021,
        "Yiyang Zhao and Linnan Wang and Yuandong Tian and Rodrigo Fonseca and Tian Guo",
        "Few-Shot Neural Architecture Search",
        "2006.06863",
    ),
    "zhao2021sane": _paper(
        "IEEE International Conference on Data Engineering",
        2021,
        "Huan Zhao and Quanming Yao and Weiwei Tu",
        "Search to Aggregate Neighborhood for Graph Neural Network",
        "2104.06608",
    ),
    "zhou2019autognn": _preprint(
        "1909.03184",
        2019,
        "Kaixiong Zhou and Qingquan Song and Xiao Huang and Xia Hu",
        "{Auto-GNN}: Neural Architecture Search of Graph Neural Networks",
    ),
}
"""Entries by key: their kind and their fields."""
