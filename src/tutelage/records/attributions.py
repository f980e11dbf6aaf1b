"""What is owed to those whose data is used: on a model card, and beside data sets that are written out."""

ATTRIBUTIONS = {
    "esco": "This service uses the ESCO classification of the European Commission (https://esco.ec.europa.eu).",
    "talentclef": "TalentCLEF 2025 Task A corpus, doi:10.5281/zenodo.14002665, under the licence stated on that "
    "record; its training pairs derive from ESCO.",
    "stsb-tr": "STSb-TR 1.0 (https://github.com/verimsu/STSb-TR): scores under CC BY-SA 4.0, part of the original "
    "texts under other terms; Beken Fikri, Oflazer and Yanikoglu, GEM 2021.",
    "cnli-tr": "CNLI-TR, augmented (https://github.com/iambusra/CNLI-TR_augmentation): CC BY-SA 4.0 by its README.",
    "tquad": "TQuAD (https://github.com/okanvk/Turkish-Reading-Comprehension-Question-Answering-Dataset): MIT.",
}
TERMS = {
    "esco": "ESCO: (c) European Union; reuse is authorised provided the source is acknowledged.",
    "talentclef": "TalentCLEF: the licence stated on its Zenodo record; its training pairs derive from ESCO.",
    "sample": "The sample inside tutelage: public domain (CC0 1.0).",
    "titles": "Titles from files of your own: the terms under which you have them.",
}
