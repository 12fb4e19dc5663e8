"""EBCDIC code pages, each as what differs from one before it. The tables agree with the codecs of Python and
of the package `ebcdic`, with which the tests compare them (its `cp500ms` and `cp1148ms`
are left out: their digits are no digits)."""

# name: (the one it is like, its own bytes in hexadecimal, their characters)
DIFFERENCES = {
    "cp1025": (
        "cp037",
        "1542434445464748494a4f5152535455565758595a5f62636465666768696a707172737475767778808a8b8c8d8e8f909a"
        "9b9c9d9e9fa0aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfcacbcccdcecfdadbdcdddedfe1eaebecedeeeffafb"
        "fcfdfe",
        "\u000a\u0452\u0453\u0451\u0454\u0455\u0456\u0457\u0458[!\u0459\u045a\u045b\u045c\u045e\u045f\u042a"
        "\u2116\u0402]^\u0403\u0401\u0404\u0405\u0406\u0407\u0408\u0409|\u040a\u040b\u040c\u00ad\u040e"
        "\u040f\u044e\u0430\u0431\u0446\u0434\u0435\u0444\u0433\u0445\u0438\u0439\u043a\u043b\u043c\u043d"
        "\u043e\u043f\u044f\u0440\u0441\u0442\u0443\u0436\u0432\u044c\u044b\u0437\u0448\u044d\u0449\u0447"
        "\u044a\u042e\u0410\u0411\u0426\u0414\u0415\u0424\u0413\u0425\u0418\u0419\u041a\u041b\u041c\u041d"
        "\u041e\u041f\u042f\u0420\u0421\u00a7\u0422\u0423\u0416\u0412\u042c\u042b\u0417\u0428\u042d\u0429"
        "\u0427",
    ),
    "cp1026": (
        "cp037",
        "484a4f5a5b5f686a797b7c7f8c8d8ea1acadaeb0babbc0ccd0dce0ecfc",
        "{\u00c7!\u011e\u0130^[\u015f\u0131\u00d6\u015e\u00dc}`\u00a6\u00f6]$@\u00a2\u00ac|\u00e7~\u011f"
        "\u005c\u00fc#\u0022",
    ),
    "cp1047": (
        "cp037",
        "15255fadb0babbbd",
        "\u000a\u0085^[\u00ac\u00dd\u00a8]",
    ),
    "cp1097": (
        "cp037",
        "42434445464748494a51525354555657585962636465666768696a707172737475767778808c8d8e8f909a9b9c9d9e9fa0"
        "aaabacadaeafb0b1b2b3b4b5b6b7b8b9bcbdbecbcccdcecfdadbdcdddedfe1eaebecedeeeffafbfcfdfe",
        "\u060c\u064b\ufe81\ufe82\uf8fa\ufe8d\ufe8e\uf8fb\u00a4\ufe80\ufe83\ufe84\uf8f9\ufe85\ufe8b\ufe8f"
        "\ufe91\ufb56\ufb58\ufe95\ufe97\ufe99\ufe9b\ufe9d\ufe9f\ufb7a\u061b\ufb7c\ufea1\ufea3\ufea5\ufea7"
        "\ufea9\ufeab\ufead\ufeaf\ufb8a\ufeb1\ufeb3\ufeb5\ufeb7\ufeb9\ufebb\ufebd\ufebf\ufec1\ufec3\ufec5"
        "\ufec7\ufec9\ufeca\ufecb\ufecc\ufecd\ufece\ufecf\ufed0\ufed1\ufed3\ufed5\ufed7\ufb8e\ufedb\ufb92"
        "\ufb94\ufedd\ufedf\ufee1\ufee3\ufee5\ufee7\ufeed\ufee9\ufeeb\ufeec\ufba4\ufbfc\ufbfd\ufbfe\u061f"
        "\u0640\u06f0\u06f1\u06f2\u06f3\u06f4\u06f5\u06f6\u06f7\u06f8\u06f9",
    ),
    "cp1112": (
        "cp037",
        "1542444546484952535455565758626465666869727374757677788c8d8e9a9b9daaabacadaeb2bcbdbecbcddbdddedfeb"
        "edfbfdfe",
        "\u000a\u0161\u0105\u012f\u016b\u0113\u017e\u0119\u0117\u010d\u0173\u201e\u201c\u0123\u0160\u0104"
        "\u012e\u016a\u0112\u017d\u0118\u0116\u010c\u0172\u012a\u013b\u0122\u0101\u017c\u0144\u0156\u0157"
        "\u0137\u201d\u017a\u0100\u017b\u0143\u012b\u0179\u0136\u013c\u014d\u0146\u0107\u0142\u015b\u2019"
        "\u014c\u0145\u0106\u0141\u015a",
    ),
    "cp1122": (
        "cp037",
        "1543474a4f515a5b5f63676a71797b7c8c8e9fa1acaeb0b5babbbcc0ccd0dce0ec",
        "\u000a{}\u00a7!`\u00a4\u00c5^#$\u00f6\u005c\u00e9\u00c4\u00d6\u0161\u017e]\u00fc\u0160\u017d\u00a2"
        "[\u00ac|\u203e\u00e4\u00a6\u00e5~\u00c9@",
    ),
    "cp1123": (
        "cp1025",
        "4362",
        "\u0491\u0490",
    ),
    "cp1140": (
        "cp037",
        "9f",
        "\u20ac",
    ),
    "cp1141": (
        "cp1140",
        "15434a4f595a5f636a7ca1b0b5babbc0ccd0dce0ecfc",
        "\u000a{\u00c4!~\u00dc^[\u00f6\u00a7\u00df\u00a2@\u00ac|\u00e4\u00a6\u00fc}\u00d6\u005c]",
    ),
    "cp1142": (
        "cp037",
        "15474a4f5a5b5f676a707b7c809c9e9fa1b0babbc0d0dc",
        "\u000a}#!\u20ac\u00c5^$\u00f8\u00a6\u00c6\u00d8@{[]\u00fc\u00a2\u00ac|\u00e6\u00e5~",
    ),
    "cp1143": (
        "cp1122",
        "5a8c8eacaebc",
        "\u20ac\u00f0\u00fe\u00d0\u00de\u00af",
    ),
    "cp1144": (
        "cp1141",
        "4344484a515458595a636a797b90a1b1c0cccdd0dcdde0ecfc",
        "\u00e4{\u005c\u00b0]}~\u00df\u00e9\u00c4\u00f2\u00f9\u00a3[\u00ec#\u00e0\u00f6\u00a6\u00e8\u00fc`"
        "\u00e7\u00d6\u00dc",
    ),
    "cp1145": (
        "cp1140",
        "15494a5a696a7ba1b0babbbd",
        "\u000a\u00a6[]#\u00f1\u00d1\u00a8\u00a2^!~",
    ),
    "cp1146": (
        "cp1140",
        "154a5ba1b0b1babc",
        "\u000a$\u00a3\u00af\u00a2[^~",
    ),
    "cp1147": (
        "cp1144",
        "4451585a6a797ca0a1b5bdc0cddd",
        "@{\u00ec\u00a7\u00f9\u00b5\u00e0`\u00a8]~\u00e9\u00f2\u00a6",
    ),
    "cp1148": (
        "cp1140",
        "154a4f5a5fb0babb",
        "\u000a[!]^\u00a2\u00ac|",
    ),
    "cp1149": (
        "cp1148",
        "4a5a5f797c8c8e9c9ea1acaebec0ccd0e0ec",
        "\u00de\u00c6\u00d6\u00f0\u00d0`{}]\u00f6@[\u005c\u00fe~\u00e6\u00b4^",
    ),
    "cp273": (
        "cp1141",
        "159fbc",
        "\u0085\u00a4\u203e",
    ),
    "cp277": (
        "cp1142",
        "5a",
        "\u00a4",
    ),
    "cp278": (
        "cp1143",
        "5a",
        "\u00a4",
    ),
    "cp280": (
        "cp1144",
        "9f",
        "\u00a4",
    ),
    "cp284": (
        "cp1145",
        "9f",
        "\u00a4",
    ),
    "cp285": (
        "cp1146",
        "9f",
        "\u00a4",
    ),
    "cp290": (
        "cp037",
        "4142434445464748494a5152535455565758595b62636465666768696a707172737475767778808182838485868788898a"
        "8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb1b2b3b4b5b6b7b8b9babbbc"
        "bdbebfcacbcccdcecfdadbdcdddedfe0e1eaebecedeeeffafbfcfdfe",
        "\uff61\uff62\uff63\uff64\uff65\uff66\uff67\uff68\uff69\u00a3\uff6a\uff6b\uff6c\uff6d\uff6e\uff6f"
        "\ufffd\uff70\ufffd\u00a5abcdefgh\ufffd[ijklmnop]\uff71\uff72\uff73\uff74\uff75\uff76\uff77\uff78"
        "\uff79\uff7aq\uff7b\uff7c\uff7d\uff7e\uff7f\uff80\uff81\uff82\uff83\uff84\uff85\uff86\uff87\uff88"
        "\uff89r\ufffd\uff8a\uff8b\uff8c~\u203e\uff8d\uff8e\uff8f\uff90\uff91\uff92\uff93\uff94\uff95s"
        "\uff96\uff97\uff98\uff99\u00a2\u005ctuvwxyz\uff9a\uff9b\uff9c\uff9d\uff9e\uff9f\ufffd\ufffd\ufffd"
        "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd$\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd"
        "\ufffd\ufffd\ufffd\ufffd\ufffd",
    ),
    "cp297": (
        "cp1147",
        "9f",
        "\u00a4",
    ),
    "cp420": (
        "cp1097",
        "1542434445464748494a51525354555657585962636567696a70717273747576777879808a8b8c8d8e8f909a9b9c9d9e9f"
        "a0a1aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0cbcccdcecfd0dadbdcdddedfe0e1eaebecedeeeffafbfcfd"
        "fe",
        "\u000a\u0651\ufe7d\u0640\u200b\u0621\u0622\ufe82\u0623\u00a2\ufe84\u0624\ufffd\ufffd\u0626\u0627"
        "\ufe8e\u0628\ufe91\u0629\u062a\u062b\u062c\u062d\u00a6\ufea3\u062e\ufea7\u062f\u0630\u0631\u0632"
        "\u0633\ufeb3\u060c\u0634\ufeb7\u0635\ufebb\u0636\ufebf\u0637\u0638\u0639\ufeca\ufecb\ufecc\u063a"
        "\ufece\ufecf\u00f7\ufed0\u0641\ufed3\u0642\ufed7\u0643\ufedb\u0644\ufef5\ufef6\ufef7\ufef8\ufffd"
        "\ufffd\ufefb\ufefc\ufedf\u0645\ufee3\u0646\ufee7\u0647\u061b\ufeeb\ufffd\ufeec\ufffd\u0648\u061f"
        "\u0649\ufef0\u064a\ufef2\ufef3\u0660\u00d7\ufffd\u0661\u0662\ufffd\u0663\u0664\u0665\ufffd\u0666"
        "\u0667\u0668\u0669",
    ),
    "cp424": (
        "cp037",
        "4142434445464748495152535455565758596263646566676869707172737475767778808c8d8e9a9b9c9eaaabacadaecb"
        "cccdcecfdbdcdddedfebecedeeeffbfcfdfe",
        "\u05d0\u05d1\u05d2\u05d3\u05d4\u05d5\u05d6\u05d7\u05d8\u05d9\u05da\u05db\u05dc\u05dd\u05de\u05df"
        "\u05e0\u05e1\u05e2\u05e3\u05e4\u05e5\u05e6\u05e7\u05e8\u05e9\ufffd\u05ea\ufffd\ufffd\u00a0\ufffd"
        "\ufffd\ufffd\u2017\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd"
        "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd"
        "\ufffd\ufffd\ufffd",
    ),
    "cp500": (
        "cp1148",
        "159f",
        "\u0085\u00a4",
    ),
    "cp833": (
        "cp424",
        "4142434445464748495152535455565758596263646566676869707172737475767778808a8b8c8d8e8f909a9b9c9d9e9f"
        "a0aaabacadaeafb1b2b3b4b5b6b7b8b9babbbcbdbebfcadae0e1eafa",
        "\ufffd\uffa0\uffa1\uffa2\uffa3\uffa4\uffa5\uffa6\uffa7\ufffd\uffa8\uffa9\uffaa\uffab\uffac\uffad"
        "\uffae\uffaf\uffb0\uffb1\uffb2\uffb3\uffb4\uffb5\uffb6\uffb7[\ufffd\uffb8\uffb9\uffba\uffbb\uffbc"
        "\uffbd\uffbe]\uffc2\uffc3\uffc4\uffc5\uffc6\uffc7\ufffd\uffca\uffcb\uffcc\uffcd\uffce\uffcf\u203e"
        "\uffd2\uffd3\uffd4\uffd5\uffd6\uffd7\ufffd\u005c\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\uffda"
        "\uffdb\uffdc\ufffd\ufffd\ufffd\ufffd\ufffd\u20a9\ufffd\ufffd\ufffd",
    ),
    "cp838": (
        "cp1112",
        "42434445464748495152535455565758596263646566676869707172737475767778808a8b8c8d8e8f909a9b9c9d9e9fa0"
        "aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfcacbcccdcecfdadbdcdddedfe1eaebecedeeeffafbfcfdfe",
        "\u0e01\u0e02\u0e03\u0e04\u0e05\u0e06\u0e07[\u0e48\u0e08\u0e09\u0e0a\u0e0b\u0e0c\u0e0d\u0e0e]\u0e0f"
        "\u0e10\u0e11\u0e12\u0e13\u0e14\u0e15^\u0e3f\u0e4e\u0e16\u0e17\u0e18\u0e19\u0e1a\u0e1b\u0e1c\u0e4f"
        "\u0e1d\u0e1e\u0e1f\u0e20\u0e21\u0e22\u0e5a\u0e23\u0e24\u0e25\u0e26\u0e27\u0e28\u0e5b\u0e29\u0e2a"
        "\u0e2b\u0e2c\u0e2d\u0e2e\u0e50\u0e51\u0e52\u0e53\u0e54\u0e55\u0e56\u0e57\u0e58\u0e59\u0e2f\u0e30"
        "\u0e31\u0e32\u0e33\u0e34\u0e49\u0e35\u0e36\u0e37\u0e38\u0e39\u0e3a\u0e40\u0e41\u0e42\u0e43\u0e44"
        "\u0e4a\u0e45\u0e46\u0e47\u0e48\u0e49\u0e4a\u0e4b\u0e4c\u0e4d\u0e4b\u0e4c",
    ),
    "cp870": (
        "cp1148",
        "4446474952545758646667696a7072747778808a8b8c8e8f9a9b9c9e9fa0aaabacaeafb0b1b2b3b4b6b7b8b9babbbccdcf"
        "dadbdddfeaedeffafbfd",
        "\u0163\u0103\u010d\u0107\u0119\u016f\u013e\u013a\u02dd\u0102\u010c\u0106|\u02c7\u0118\u016e\u013d"
        "\u0139\u02d8\u015b\u0148\u0111\u0159\u015f\u0142\u0144\u0161\u02db\u00a4\u0105\u015a\u0147\u0110"
        "\u0158\u015e\u02d9\u0104\u017c\u0162\u017b\u017e\u017a\u017d\u0179\u0141\u0143\u0160\u0155\u0151"
        "\u011a\u0171\u0165\u011b\u010f\u0154\u0150\u010e\u0170\u0164",
    ),
    "cp871": (
        "cp1149",
        "9f",
        "\u00a4",
    ),
    "cp875": (
        "cp500",
        "41424344454647484951525354555657585962636465666768696a707172737475767778808a8b8c8d8e8f9a9b9c9d9e9f"
        "a0aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfcbcccdcecfdadbdcdddedfe1ebecedeeeffbfcfdfe",
        "\u0391\u0392\u0393\u0394\u0395\u0396\u0397\u0398\u0399\u039a\u039b\u039c\u039d\u039e\u039f\u03a0"
        "\u03a1\u03a3\u03a4\u03a5\u03a6\u03a7\u03a8\u03a9\u03aa\u03ab|\u00a8\u0386\u0388\u0389\u00a0\u038a"
        "\u038c\u038e\u038f\u0385\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7\u03b8\u03b9\u03ba\u03bb\u03bc"
        "\u00b4\u03bd\u03be\u03bf\u03c0\u03c1\u03c3\u00a3\u03ac\u03ad\u03ae\u03ca\u03af\u03cc\u03cd\u03cb"
        "\u03ce\u03c2\u03c4\u03c5\u03c6\u03c7\u03c8\u03c9\u0390\u03b0\u2018\u2015\u00b1\u00bd\u001a\u0387"
        "\u2019\u00a6\u001a\u00a7\u001a\u001a\u00ab\u00ac\u00a9\u001a\u001a\u00bb",
    ),
}
