"""English words of every day, as data: goods, shops, signs, and what sentences are made of."""

from __future__ import annotations

from typing import Final


def spaced(text: str) -> tuple[str, ...]:
    """The words between spaces."""
    return tuple(text.split())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


GOODS: Final = spaced(
    """milk bread butter cheese eggs apples bananas oranges lemons grapes rice noodles pasta flour
    sugar salt pepper honey coffee tea water juice beer wine soda yoghurt cream chocolate biscuits
    cake cookies crackers chicken beef pork lamb fish shrimp tofu sausage ham bacon potatoes onions
    tomatoes carrots cabbage lettuce mushrooms garlic ginger spinach beans corn soup salad sandwich
    burger pizza fries wrap muffin bagel croissant latte espresso cappuccino mocha lemonade smoothie
    shampoo soap toothpaste tissue towel detergent sponge candle battery charger cable adapter
    notebook pencil pen marker folder envelope stapler scissors tape umbrella gloves socks shirt
    jacket jeans scarf belt hat sneakers backpack wallet watch sunglasses mug plate bowl spoon fork
    kettle toaster lamp bulb screwdriver hammer nails paint brush ticket voucher vitamin aspirin"""
)
ADJECTIVES: Final = spaced(
    """fresh golden happy lucky sunny royal grand little old new blue green red silver white black
    quiet modern classic natural organic premium daily local central northern urban wild sweet spicy
    large medium small extra double mini light dark hot cold crispy whole instant frozen free open
    early late busy clean safe easy quick smart simple perfect special original traditional"""
)
PLACES: Final = spaced(
    """Main Park Oak Maple Cedar Pine Elm Lake Hill River Station Church Market Bridge King Queen
    Victoria Albert Washington Lincoln Madison Franklin Highland Sunset Harbour Ocean Forest Garden
    Spring Mill School College Union Liberty Broadway Kingston Oxford Cambridge London Boston Denver
    Austin Seattle Dublin Sydney Toronto Chicago Paris Berlin Madrid Milan Geneva Oslo Singapore"""
)
STREETS: Final = spaced("Street St. Avenue Ave. Road Rd Lane Drive Blvd Court Place Square Way")
FIRST_NAMES: Final = spaced(
    """Anna Ben Clara David Emma Frank Grace Henry Iris Jack Kate Leo Maria Nick Olivia Paul Quinn
    Rosa Sam Tina Uma Victor Wendy Xavier Yara Zoe Alice Brian Diana Eric Fiona George Helen"""
)
LAST_NAMES: Final = spaced(
    """Smith Jones Brown Taylor Wilson Evans Walker Wright Hughes Green Hall Wood Clarke Turner Hill
    Cooper Morris Ward Baker King Young Allen Scott Reed Bell Murphy Bailey Miller Davis Garcia
    Martinez Anderson Thomas Jackson White Harris Martin Thompson Lee Wong Tan Lim Chen Wang"""
)
SHOPS: Final = spaced(
    """Coffee Bakery Books Market Pharmacy Florist Hardware Kitchen Bistro Cafe Diner Grill Pizzeria
    Deli Hotel Hostel Salon Barber Laundry Studio Gallery Motors Electronics Optical Dental Clinic
    Fitness Travel Toys Shoes Fashion Jewellers Furniture Garage Stationery Supermarket Tailor"""
)
SUBJECTS: Final = _lines(
    """I
    You
    We
    They
    The shop
    The train
    The manager
    Our team
    My brother
    This product
    The new machine
    Nobody
    Every customer
    The driver
    Your order
    The meeting"""
)
VERBS: Final = _lines(
    """will arrive
    started
    arrived late
    could not be cancelled
    can be picked up
    closed early
    had to wait
    must be returned
    opened again
    should be kept in the fridge
    left the station
    paid in cash
    may change
    did not come
    needed to be cleaned
    worked well
    sold out"""
)
ENDS: Final = _lines(
    """on Monday
    at the front desk
    before noon
    in the kitchen
    next week
    without a receipt
    for ten minutes
    after the holidays
    near the exit
    with care
    every day
    by e-mail
    at your own risk
    until further notice
    from platform 4
    on the second floor"""
)
SIGNS: Final = _lines(
    """No Parking
    Push
    Pull
    Exit
    Entrance
    Mind the gap
    Wet floor
    Do not enter
    Keep left
    One way
    Staff only
    Open 24 hours
    Closed
    For sale
    No smoking
    Please wait here
    Fire door - keep shut
    Danger! High voltage
    Thank you, come again!
    Please do not touch
    Caution: hot surface
    Emergency exit
    Lost & Found
    Information
    Toilets
    Baggage claim
    Self-service checkout
    Speed limit 30
    Cash only
    Happy Birthday!
    Made in Italy
    Keep refrigerated
    Handle with care
    This side up
    Free Wi-Fi
    Best before: see lid
    Shake well before use
    Customer copy
    Sign here
    Not for resale"""
)
MONTHS: Final = spaced("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec")
LONG_MONTHS: Final = spaced(
    "January February March April May June July August September October November December"
)
DAYS: Final = spaced("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
LABELS: Final = _lines(
    """Total
    Subtotal
    TOTAL
    Cash
    Change
    Tax
    VAT 20%
    GST 6%
    Discount
    Balance due
    Amount
    Tip
    Rounding
    Service charge
    Visa
    Net amount
    Deposit
    Shipping"""
)
FIELDS: Final = _lines(
    """Name
    Cashier
    Table
    Order No
    Invoice
    Receipt #
    Ref
    Gate
    Seat
    Room
    Customer ID
    Batch
    S/N
    Model
    Exp
    LOT
    Terminal
    Qty
    Licence"""
)
DOMAINS: Final = spaced("com org net io co.uk de cn com.cn edu gov info shop app eu")
UNITS: Final = spaced("g kg ml L cm mm m km oz lb pcs pk W V GB MHz °C % kcal mg")
