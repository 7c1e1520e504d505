"""Lines of Chinese that people photograph: a function for each kind, all from one rng."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hcompress.data.render import everyday_latin as latin
from hcompress.data.render.english import spaced
from hcompress.data.render.text import digits, pick

if TYPE_CHECKING:
    import numpy as np

    from hcompress.data.render.phrases import Words

    Template = Callable[[np.random.Generator, Words], str]


SURNAMES: Final = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程"
)
GIVEN: Final = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华文建国玉梅红波宇浩然子轩欣怡佳雨晨思涵博"
)
PLATES: Final = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
SHOPS: Final = spaced(
    """面馆 饭店 超市 便利店 药房 大药房 烧烤 火锅 茶楼 咖啡 书店 五金店 水果店 理发店 美容院
    宾馆 酒店 服装 眼镜 牙科 诊所 网吧 烟酒 包子铺 奶茶 蛋糕 花店 照相馆 洗衣店 汽修 幼儿园
    银行 家具城"""
)
GOODS: Final = spaced(
    """牛奶 面包 鸡蛋 大米 苹果 香蕉 可乐 啤酒 矿泉水 方便面 酱油 食盐 白糖 牙膏 毛巾 洗发水
    纸巾 电池 铅笔 笔记本 雨伞 拖鞋 衬衫 牛仔裤 宫保鸡丁 鱼香肉丝 米饭 炒面 豆腐 青菜 排骨汤
    饺子 馄饨 豆浆 油条 红烧牛肉面 西红柿 土豆 白菜 猪肉 鸡翅 虾仁 绿茶 红茶 咖啡 酸奶"""
)
UNITS: Final = spaced("个 斤 瓶 盒 袋 件 包 份 杯 箱 台 支 双 kg 公斤 碗")
SIGNS: Final = spaced(
    """禁止停车 请勿吸烟 小心地滑 当心触电 出口 入口 安全出口 推 拉 洗手间 欢迎光临 谢谢惠顾
    营业中 今日特价 买一送一 全场八折 招聘服务员 旺铺转让 请保持安静 请排队等候 闲人免进
    消防通道，禁止占用 严禁烟火 爱护花草，人人有责 高高兴兴上班，平平安安回家
    前方施工，车辆慢行 请随手关门 节约用水 停车场 收银台 办事指南 温馨提示 内有恶犬 限速40
    注意安全！ 水深危险，请勿靠近 生产日期见瓶盖"""
)
FIELDS: Final = spaced(
    """姓名 电话 地址 日期 订单号 单号 收银员 会员号 桌号 规格 型号 品名 编号 备注 批号 有效期至
    生产日期 开户行 税号 身份证号 联系人 保质期"""
)
LABELS: Final = spaced(
    """合计 总计 小计 应收 实收 找零 优惠 现金 微信支付 支付宝 金额 税额 折扣 余额 运费 押金
    服务费 单价"""
)
NUMERALS: Final = "零壹贰叁肆伍陆柒捌玖"
COUNTED: Final = "一二三四五六七八九十"
WEEK: Final = "一二三四五六日"
SUBJECTS: Final = spaced("我们 他 她 大家 老师 公司 这家店 孩子们 本店 我国 每个人 客户")
ADVERBS: Final = spaced("已经 正在 必须 可以 不能 应该 将 也 都 没有 开始 继续")
JOINTS: Final = spaced("但是 因为 所以 如果 同时 而且 然后 不过 其中 目前 据说")


def _name(rng: np.random.Generator) -> str:
    given = "".join(pick(rng, GIVEN) for _ in range(int(rng.integers(1, 3))))
    return pick(rng, SURNAMES) + given


def _colon(rng: np.random.Generator) -> str:
    return pick(rng, ("：", "：", ":", ": "))


def _goods(rng: np.random.Generator, words: Words) -> str:
    return pick(rng, GOODS) if rng.random() < 0.6 else words.noun.word(rng)


def phrase(rng: np.random.Generator, words: Words) -> str:
    return words.any.draw(rng, int(rng.integers(2, 11)))


def price(rng: np.random.Generator, words: Words) -> str:
    money = latin.amount(rng)
    return pick(
        rng,
        (
            f"¥{money}",
            f"￥{money}",
            f"{money}元",
            f"{latin.number(rng, 1, 999)}元/{pick(rng, UNITS)}",
            f"{_goods(rng, words)} {money}元",
            f"原价{latin.number(rng, 100, 999)}元，现价{latin.number(rng, 10, 99)}元",
            f"人民币{_capitals(rng)}元整",
            f"满{latin.number(rng, 1, 9)}00减{latin.number(rng, 1, 9)}0",
        ),
    )


def _capitals(rng: np.random.Generator) -> str:
    """An amount in the numerals of cheques."""
    one, two = pick(rng, NUMERALS[1:]), pick(rng, NUMERALS[1:])
    return pick(rng, (f"{one}仟{two}佰", f"{one}佰{two}拾", f"{one}拾{two}", f"{one}万{two}仟"))


def total(rng: np.random.Generator, _words: Words) -> str:
    currency = pick(rng, ("", "¥", "￥"))
    return pick(rng, LABELS) + _colon(rng) + currency + latin.amount(rng)


def date(rng: np.random.Generator, _words: Words) -> str:
    year, month, day = (latin.number(rng, *span) for span in ((1990, 2030), (1, 12), (1, 31)))
    bare = f"{year}年{month}月{day}日"
    return pick(
        rng,
        (
            bare,
            f"{month}月{day}日",
            f"{bare} 星期{pick(rng, WEEK)}",
            f"{bare}{latin.clock(rng)}",
            f"日期{_colon(rng)}{year}-{month.zfill(2)}-{day.zfill(2)}",
            f"{year}年{month}月",
            f"有效期至{year}.{month.zfill(2)}.{day.zfill(2)}",
            f"二〇{pick(rng, '〇一二')}{pick(rng, COUNTED[:9])}年{pick(rng, COUNTED)}月",
        ),
    )


def time(rng: np.random.Generator, _words: Words) -> str:
    opens, closes = f"{latin.two(rng, 6, 11)}:00", f"{latin.two(rng, 16, 23)}:30"
    half = pick(rng, ("上午", "下午", "晚上", "凌晨"))
    return pick(
        rng,
        (
            f"{half}{latin.number(rng, 1, 12)}:{latin.two(rng, 0, 59)}",
            f"营业时间{_colon(rng)}{opens}-{closes}",
            f"{half}{latin.number(rng, 1, 12)}点半",
            f"周一至周{pick(rng, WEEK[4:])} {opens}～{closes}",
            f"{latin.number(rng, 1, 23)}时{latin.number(rng, 1, 59)}分",
            f"{opens}—{closes}",
        ),
    )


def address(rng: np.random.Generator, words: Words) -> str:
    road = words.place.word(rng)[:3] + pick(rng, ("路", "街", "大道", "巷", "东路", "北街", "胡同"))
    line = f"{road}{latin.number(rng, 1, 999)}号"
    town = words.place.word(rng)
    house, stair, flat = (latin.number(rng, *span) for span in ((1, 30), (1, 6), (101, 2304)))
    return pick(
        rng,
        (
            line,
            f"{town}{line}",
            f"地址{_colon(rng)}{town}{line}",
            f"{line}{house}栋{stair}单元{flat}室",
            f"{town}{words.place.word(rng)}镇{words.place.word(rng)}村",
            f"{road}与{words.place.word(rng)}路交叉口",
        ),
    )


def phone(rng: np.random.Generator, _words: Words) -> str:
    mobile = f"1{pick(rng, '3456789')}{digits(rng, 9, 9)}"
    spaced = f"{mobile[:3]} {mobile[3:7]} {mobile[7:]}"
    land = f"0{digits(rng, 2, 3)}-{digits(rng, 7, 8)}"
    label = pick(rng, ("电话", "手机", "联系电话", "订餐热线", "客服", "传真", "咨询", "投诉电话"))
    bare = pick(rng, (mobile, spaced, land, f"400-{digits(rng, 3, 3)}-{digits(rng, 4, 4)}"))
    return pick(rng, ("", f"{label}{_colon(rng)}", f"{label} ", f"{_name(rng)[0]}先生 ")) + bare


def invoice(rng: np.random.Generator, words: Words) -> str:
    item, count, each = _goods(rng, words), latin.number(rng, 1, 20), latin.amount(rng)
    return pick(
        rng,
        (
            f"{item} {count} {each}",
            f"{item}x{count} {each}",
            f"{item}（{pick(rng, ('大', '中', '小'))}） ¥{each}",
            f"{item} {count}{pick(rng, UNITS)} {each} {latin.amount(rng)}",
            f"{latin.number(rng, 1, 30)}、{item} {each}",
            f"{item}×{count}{pick(rng, UNITS)}",
            f"*{words.noun.word(rng)}*{item} {each}",
        ),
    )


def shop(rng: np.random.Generator, words: Words) -> str:
    kind, town = pick(rng, SHOPS), words.place.word(rng)
    return pick(
        rng,
        (
            f"{pick(rng, '老大小')}{pick(rng, SURNAMES)}{kind}",
            f"{town}{kind}",
            f"{words.noun.word(rng)}{kind}",
            f"{words.any.word(rng)}{kind}（{town}店）",
            f"{town}{words.noun.word(rng)}有限公司",
            f"{_name(rng)}{kind}·{words.noun.word(rng)}",
        ),
    )


def sentence(rng: np.random.Generator, words: Words) -> str:
    full = rng.random() < 0.85
    comma, stop = ("，", pick(rng, "。。。！？；")) if full else (",", pick(rng, ".!?;"))
    text = _clause(rng, words)
    if rng.random() < 0.45:
        text += comma + (pick(rng, JOINTS) if rng.random() < 0.5 else "") + _clause(rng, words)
    kind = rng.random()
    if kind < 0.1:
        return f"{_name(rng)}说：“{text}{stop}”"
    if kind < 0.2:
        return f"{text}…" if kind < 0.14 else f"《{words.any.draw(rng, 6)}》{stop}"
    return text + (stop if rng.random() < 0.8 else "")


def _clause(rng: np.random.Generator, words: Words) -> str:
    subject = pick(rng, SUBJECTS) if rng.random() < 0.6 else words.noun.word(rng)
    adverb = pick(rng, ADVERBS) if rng.random() < 0.6 else ""
    extra = f"{words.adjective.word(rng)}的" if rng.random() < 0.3 else ""
    end = "了" if rng.random() < 0.15 else ""
    return subject + adverb + words.verb.word(rng) + extra + words.noun.word(rng) + end


def sign(rng: np.random.Generator, _words: Words) -> str:
    return pick(rng, SIGNS)


def person(rng: np.random.Generator, words: Words) -> str:
    name = _name(rng)
    title = pick(rng, ("经理", "医生", "老师", "主任", "先生", "女士", "律师", "总经理", "教授"))
    return pick(
        rng,
        (
            name,
            f"{name} {title}",
            f"{name}（{title}）",
            f"{words.place.word(rng)} {name}",
            f"{title}：{name}",
        ),
    )


def field(rng: np.random.Generator, words: Words) -> str:
    values = (
        digits(rng, 4, 18), latin.code(rng), words.any.draw(rng, 6), latin.date(rng), _name(rng)
    )  # fmt: skip
    return pick(rng, FIELDS) + _colon(rng) + pick(rng, values)


def measure(rng: np.random.Generator, words: Words) -> str:
    size = latin.number(rng, 1, 999)
    return pick(
        rng,
        (
            f"净含量：{size}{pick(rng, ('g', 'ml', '克', '毫升', 'kg'))}",
            f"{size}{pick(rng, UNITS)}",
            f"约{size}平方米",
            f"{words.noun.word(rng)}{latin.number(rng, 1, 99)}%",
            f"第{latin.number(rng, 1, 99)}{pick(rng, ('章', '页', '届', '层', '名', '期', '排'))}",
            f"{latin.number(rng, -15, 39)}℃",
            f"{latin.number(rng, 1, 18)}号线",
            f"（{pick(rng, COUNTED)}）{words.any.draw(rng, 6)}",
        ),
    )


def plate(rng: np.random.Generator, _words: Words) -> str:
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    rest = "".join(pick(rng, letters + "0123456789" * 2) for _ in range(5))
    return pick(rng, PLATES) + pick(rng, letters) + pick(rng, ("", "·", " ")) + rest


def mixed(rng: np.random.Generator, words: Words) -> str:
    """Both scripts, as menus and shop fronts have them."""
    english = pick(rng, (latin.words, latin.sign, latin.shop, latin.code))(rng)
    chinese = pick(rng, (pick(rng, SIGNS), words.noun.word(rng), pick(rng, GOODS)))
    return pick(rng, (f"{chinese} {english}", f"{english}{chinese}", f"{chinese}({english})"))


TEMPLATES: Final[tuple[Template, ...]] = (
    phrase, phrase, price, total, date, time, address, phone, invoice, shop, sentence, sentence,
    sign, person, field, measure, plate, mixed,
)  # fmt: skip
