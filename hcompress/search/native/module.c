/* hcompress.search._native: the search for Python. Arrays come and go as buffers, checked here
 * for their sizes alone: index.py has seen to shapes, types and alignment. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "search.h"

#include <string.h>

static const InstructionSet *find_set(const char *name)
{
    for (const InstructionSet *const *set = instruction_sets; *set; set++)
        if (strcmp((*set)->name, name) == 0 && (*set)->present())
            return *set;
    PyErr_Format(PyExc_ValueError, "this machine has no instruction set '%s'", name);
    return NULL;
}

/* False, with the error set, unless the sizes make a codebook. */
static int check_codebook(Py_ssize_t count, Py_ssize_t width)
{
    int fits = count >= 1 && width >= 1 && width <= WIDEST &&
               count <= (PY_SSIZE_T_MAX - 8 * BLOCK * WIDEST) / (width + 8);
    if (!fits)
        PyErr_SetString(PyExc_ValueError, "no codebook has this size");
    return fits;
}

/* Likewise unless a buffer has the bytes that `count` items take. */
static int check_bytes(const Py_buffer *buffer, size_t count, size_t item)
{
    int fits = (size_t)buffer->len % item == 0 && (size_t)buffer->len / item == count;
    if (!fits)
        PyErr_SetString(PyExc_ValueError, "a buffer has the wrong size");
    return fits;
}

static PyObject *list_sets(PyObject *self, PyObject *none)
{
    PyObject *names = PyList_New(0), *tuple = NULL;
    (void)self, (void)none;
    for (const InstructionSet *const *set = instruction_sets; names && *set; set++) {
        if (!(*set)->present())
            continue;
        PyObject *name = PyUnicode_FromString((*set)->name);
        if (!name || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    if (names)
        tuple = PyList_AsTuple(names);
    Py_XDECREF(names);
    return tuple;
}

static PyObject *count_layout_bytes(PyObject *self, PyObject *args)
{
    const char *name;
    Py_ssize_t count, width;
    (void)self;
    if (!PyArg_ParseTuple(args, "snn", &name, &count, &width))
        return NULL;
    const InstructionSet *set = find_set(name);
    if (!set || !check_codebook(count, width))
        return NULL;
    return PyLong_FromSize_t(layout_bytes(set, (size_t)count, (size_t)width));
}

static PyObject *write_layout(PyObject *self, PyObject *args)
{
    const char *name;
    Py_buffer codes, blocks;
    Py_ssize_t count, width;
    PyObject *answer = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "sy*nnw*", &name, &codes, &count, &width, &blocks))
        return NULL;
    const InstructionSet *set = find_set(name);
    if (set && check_codebook(count, width) &&
        check_bytes(&codes, (size_t)count, (size_t)width) &&
        check_bytes(&blocks, layout_bytes(set, (size_t)count, (size_t)width), 1)) {
        Py_BEGIN_ALLOW_THREADS
        lay_out(set, codes.buf, (size_t)count, (size_t)width, blocks.buf);
        Py_END_ALLOW_THREADS
        answer = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&codes);
    PyBuffer_Release(&blocks);
    return answer;
}

/* The arguments of both searches, in the order in which they are given. */
typedef struct {
    const char *name;
    Py_buffer blocks, queries, ids, distances, probabilities, weights;
    Py_ssize_t count, width, first_id, asked, kept, window;
} Arguments;

static int check_search(const Arguments *a, const InstructionSet *set)
{
    if (!set || !check_codebook(a->count, a->width))
        return 0;
    if (a->asked < 0 || a->kept < 1 || a->kept > a->count || a->window < 0) {
        PyErr_SetString(PyExc_ValueError, "there are not that many codes");
        return 0;
    }
    size_t width = (size_t)a->width, asked = (size_t)a->asked, kept = (size_t)a->kept;
    size_t answers = asked * kept;
    /* The first check bounds `asked` by memory, the second guards the product. */
    return check_bytes(&a->blocks, layout_bytes(set, (size_t)a->count, width), 1) &&
           check_bytes(&a->queries, asked, width) && check_bytes(&a->ids, asked, 8 * kept) &&
           check_bytes(&a->distances, answers, sizeof(int32_t)) &&
           (!a->probabilities.buf ||
            (check_bytes(&a->probabilities, answers, sizeof(float)) &&
             check_bytes(&a->weights, 8 * width + 1, sizeof(double))));
}

static PyObject *run_search(Arguments *a)
{
    const InstructionSet *set = find_set(a->name);
    PyObject *answer = NULL;
    int status;
    if (check_search(a, set)) {
        Codebook codebook = {set, a->blocks.buf, (size_t)a->count, (size_t)a->width,
                             a->first_id};
        Request request = {
            a->queries.buf, (size_t)a->asked, (size_t)a->kept, a->ids.buf, a->distances.buf,
            a->probabilities.buf, a->weights.buf,
            a->window > (Py_ssize_t)NONE ? NONE : (unsigned)a->window,
        };
        Py_BEGIN_ALLOW_THREADS
        status = search(&codebook, &request);
        Py_END_ALLOW_THREADS
        answer = status < 0 ? PyErr_NoMemory() : Py_NewRef(Py_None);
    }
    PyBuffer_Release(&a->blocks);
    PyBuffer_Release(&a->queries);
    PyBuffer_Release(&a->ids);
    PyBuffer_Release(&a->distances);
    PyBuffer_Release(&a->probabilities);
    PyBuffer_Release(&a->weights);
    return answer;
}

static PyObject *find_nearest(PyObject *self, PyObject *args)
{
    Arguments a = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "sy*nnny*nnw*w*", &a.name, &a.blocks, &a.count, &a.width,
                          &a.first_id, &a.queries, &a.asked, &a.kept, &a.ids, &a.distances))
        return NULL;
    return run_search(&a);
}

static PyObject *find_ranked(PyObject *self, PyObject *args)
{
    Arguments a = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "sy*nnny*nnw*w*w*y*n", &a.name, &a.blocks, &a.count, &a.width,
                          &a.first_id, &a.queries, &a.asked, &a.kept, &a.ids, &a.distances,
                          &a.probabilities, &a.weights, &a.window))
        return NULL;
    return run_search(&a);
}

static PyObject *pack(PyObject *self, PyObject *args)
{
    const char *name;
    Py_buffer logits, packed;
    PyObject *answer = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "sy*w*", &name, &logits, &packed))
        return NULL;
    const InstructionSet *set = find_set(name);
    if (set && check_bytes(&logits, (size_t)packed.len, 8 * sizeof(float))) {
        Py_BEGIN_ALLOW_THREADS
        set->pack_signs(logits.buf, (size_t)packed.len, packed.buf);
        Py_END_ALLOW_THREADS
        answer = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&logits);
    PyBuffer_Release(&packed);
    return answer;
}

/* One of the limits, over the blocks of a codebook; its answer tells nothing. */
static PyObject *reach_limit(PyObject *self, PyObject *args)
{
    const char *name;
    Py_buffer blocks;
    Py_ssize_t queries;
    uint64_t nothing = 0;
    PyObject *answer = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "sy*n", &name, &blocks, &queries))
        return NULL;
    const InstructionSet *set = find_set(name);
    if (set && blocks.len % BLOCK == 0 && queries >= 0) {
        Py_BEGIN_ALLOW_THREADS
        nothing = queries ? set->arithmetic((size_t)blocks.len, (size_t)queries)
                          : set->read(blocks.buf, (size_t)blocks.len);
        Py_END_ALLOW_THREADS
        answer = PyLong_FromUnsignedLongLong(nothing);
    } else if (set) {
        PyErr_SetString(PyExc_ValueError, "these are no blocks");
    }
    PyBuffer_Release(&blocks);
    return answer;
}

static PyMethodDef methods[] = {
    {"instruction_sets", list_sets, METH_NOARGS, "Those this machine has, fastest first."},
    {"layout_bytes", count_layout_bytes, METH_VARARGS, "(set, count, width) -> int"},
    {"lay_out", write_layout, METH_VARARGS, "(set, codes, count, width, blocks)"},
    {"nearest", find_nearest, METH_VARARGS,
     "(set, blocks, count, width, first_id, queries, asked, kept, ids, distances)"},
    {"rank", find_ranked, METH_VARARGS,
     "(... as nearest, probabilities, weights, window)"},
    {"pack_signs", pack, METH_VARARGS, "(set, logits, packed)"},
    {"limit", reach_limit, METH_VARARGS,
     "(set, blocks, queries): read the blocks, or do that many queries' arithmetic"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_native", "Nearest codes by Hamming distance.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&module);
}
